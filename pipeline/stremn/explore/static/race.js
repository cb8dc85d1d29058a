// Some rules on the same video: J over time, cost, kept frames.

class Race {
  constructor(app) {
    this.app = app;
    this.members = [];
    this.over = null;
    this.count = el("input", { type: "number", min: 2, max: 64, "aria-label": "slots of the race (K)" });
    this.rules = el("div", { class: "choices", role: "group", "aria-label": "rules of the race" });
    this.canvas = el("canvas", { class: "race-canvas", role: "img", "aria-label": "J over time of every rule", hidden: true });
    this.body = el("tbody", {});
    this.table = el("table", { hidden: true });
    this.title = el("h3", { hidden: true }, "J of each rule over the frames, mean of the objects");
    this.bar = el("progress", { max: 1, value: 0, "aria-label": "progress of the race" });
    this.left = el("span", { class: "status", "aria-live": "polite" });
    this.stopButton = el("button", { type: "button", "data-do": "stop-race", onclick: () => app.ask("stop") }, "stop");
    this.meter = el("div", { class: "row", hidden: true }, this.bar, this.left, this.stopButton);
    this.note = el("p", { class: "result", "aria-live": "polite" });
    const set = (on) => el("button", { type: "button", onclick: () => this.choose(on) }, on ? "all" : "none");
    this.root = el("div", { class: "panel", "data-panel": "race", hidden: true },
      this.intro = el("p", {}),
      this.rules,
      el("div", { class: "row" }, set(true), set(false), el("label", {}, "slots K ", this.count),
        el("button", { type: "button", class: "primary", "data-do": "race", onclick: () => this.start() }, "race")),
      this.note, this.meter, this.title, this.canvas, el("div", { class: "wide" }, this.table));
  }

  about() {
    const { about } = this.app;
    this.count.value = about.slots || 6;
    this.intro.textContent = "Each rule segments the same video from the same masks. "
      + `${this.app.hasJ() ? "Point at a row to see its curve, click" : "Click"} a row to look into that run.`;
    this.rules.replaceChildren(...about.rules.map((rule) => el("label", { class: "toggle", title: rule.name },
      el("input", { type: "checkbox", "data-rule": rule.name, checked: true }), rule.title)));
    const heads = [["", ""], ["rule", ""], this.app.hasJ() ? ["mean J", "num"] : null, ["ms per frame", "num"],
      ["frames held at most", "num"], ["frames kept at the end", ""]];
    this.table.replaceChildren(el("thead", {}, el("tr", {}, ...heads.filter(Boolean).map(([text, kind]) =>
      el("th", { scope: "col", class: kind }, text)))), this.body);
  }

  boxes() {
    return [...this.rules.querySelectorAll("input")];
  }

  choose(on) {
    for (const box of this.boxes()) box.checked = on;
  }

  async start() {
    const { app } = this;
    const rules = this.boxes().filter((box) => box.checked).map((box) => box.dataset.rule);
    if (!rules.length) {
      this.note.textContent = "Choose at least one rule.";
      return;
    }
    const like = app.runs.length ? { run: app.run } : {};
    const answer = await app.ask("race", { ...like, rules, slots: Number(this.count.value) || null });
    this.note.textContent = answer ? "" : app.controls.status.textContent;
    if (!answer) return;
    this.members = answer.made;
    this.began = null;
    app.setRuns(answer);
    app.fetch.want(true);
  }

  line(n) {
    const { lines } = this.app.about;
    return { colour: lines[n % lines.length], dash: DASHES[Math.floor(n / lines.length) % DASHES.length + (n % 3)] || [] };
  }

  update() {
    if (this.root.hidden || !this.members.length) return;
    this.table.hidden = false;
    this.progress();
    this.chart();
    const { app } = this;
    const order = this.members.map((run, n) => [app.runs[run], n]).sort((a, b) => (b[0].j ?? -1) - (a[0].j ?? -1));
    this.body.replaceChildren(...order.map(([run, n]) => this.row(run, n)));
  }

  /** How much of all is done, and how long the rest takes at the pace so far. */
  progress() {
    const runs = this.members.map((n) => this.app.runs[n]);
    const { frames } = this.app.about;
    const done = runs.reduce((sum, run) => sum + run.done, 0);
    const ended = runs.filter((run) => run.done >= frames).length;
    const goes = runs.some((run) => run.state === "running" || run.state === "waiting");
    const now = performance.now() / 1000;
    this.began = this.began || { now, done };
    const pace = (now - this.began.now) / (done - this.began.done);
    const left = runs.length * frames - done;
    this.meter.hidden = false;
    this.stopButton.hidden = !goes;
    this.bar.value = done / (runs.length * frames);
    this.left.textContent = `${ended} of ${runs.length} rules${goes ? "" : left ? ": stopped" : ": done"}, ${percent(this.bar.value)} of all frames`
      + (goes && Number.isFinite(pace) ? `, about ${duration(left * pace)} left` : "");
  }

  /** The curves; the axis begins at the lowest tenth that is reached. */
  chart() {
    const { app, canvas } = this;
    this.title.hidden = canvas.hidden = !app.hasJ();
    if (!app.hasJ()) return;
    const width = canvas.clientWidth || 600;
    const context = sized(canvas, width, 210);
    const scale = new Scale(0, app.about.frames, 62, width - 10);
    const curves = this.members.map((run) => app.details.get(run)?.j[0] ?? []);
    const least = Math.min(0.9, ...curves.map((j) => j.reduce((a, b) => (b < a ? b : a), 1)));
    const low = Math.max(0, Math.floor(10 * least) / 10);
    axisOfJ(context, scale, 8, 184, app.about.colours.ink, low);
    axisOfFrames(context, scale, 188, app.about.colours.ink);
    label(context, "J", 4, 2, app.about.colours.ink);
    curves.forEach((j, n) => {
      if (n !== this.over) curve(context, scale, j, 8, 184, { ...this.line(n), width: this.over === null ? 1.8 : 0.7, low });
    });
    if (this.over !== null) curve(context, scale, curves[this.over], 8, 184, { ...this.line(this.over), width: 3.5, low });
  }

  point(n) {
    this.over = n;
    this.chart();
  }

  /** Rule and run, how far it is, and which run it equals. */
  name(run) {
    const { app } = this;
    const title = app.about.rules.find((rule) => rule.name === run.rule)?.title ?? run.name;
    const { frames } = app.about;
    const states = { running: `${run.done} of ${frames}`, waiting: "waits", stopped: run.done ? `stopped: ${run.done} of ${frames}` : "not run" };
    const equal = run.equal !== null && this.members.includes(run.equal) ? `same masks as ${app.runs[run.equal].name}` : null;
    const notes = [title === run.name ? null : `the run “${run.name}”`, run.done < frames ? states[run.state] : null, equal].filter(Boolean);
    return title + (notes.length ? ` (${notes.join(", ")})` : "");
  }

  row(run, n) {
    const { app } = this;
    const { colour, dash } = this.line(n);
    const kept = el("td", { class: "kept" });
    if (run.done >= app.about.frames) this.keptFrames(kept, run);
    const look = () => app.choose(run.number);
    return el("tr", { tabindex: 0, onclick: look, onmouseenter: () => this.point(n), onmouseleave: () => this.point(null),
      onkeydown: (e) => e.key === "Enter" && look(), "data-run": run.number, class: run.number === app.run ? "chosen" : "" },
    el("td", {}, el("i", { class: "line", style: `border-top: 3px ${dash.length ? "dashed" : "solid"} ${colour}` })),
    el("td", {}, this.name(run)), app.hasJ() ? el("td", { class: "num" }, fixed(run.j, 3)) : null,
    el("td", { class: "num" }, fixed(run.ms, 1)), el("td", { class: "num" }, run.done ? String(run.most) : "–"), kept);
  }

  /** Small pictures of at most eight kept frames, loaded when they are seen. */
  async keptFrames(cell, run) {
    const { app } = this;
    const step = Math.max(1, Math.ceil(run.kept.length / 8));
    const frames = run.kept.filter((_, n) => n % step === 0);
    const missing = frames.filter((frame) => !app.thumbs.get(`${run.number}:${frame}`));
    if (missing.length) await app.loadThumbs(run.number, missing);
    for (const frame of frames) {
      const picture = app.thumbs.get(`${run.number}:${frame}`);
      if (!picture) continue;
      const canvas = el("canvas", { title: `frame ${frame}`, role: "img", "aria-label": `frame ${frame}`,
        width: picture.width, height: picture.height });
      canvas.getContext("2d").drawImage(picture, 0, 0);
      cell.append(canvas);
    }
    if (step > 1) cell.append(` ${frames.length} of ${run.kept.length}`);
  }
}
