// All rules on the same video: J over time, cost, kept frames.

class Race {
  constructor(app) {
    this.app = app;
    this.members = [];
    this.over = null;
    this.count = el("input", { type: "number", min: 2, max: 64, "aria-label": "slots of the race (K)" });
    this.canvas = el("canvas", { class: "race-canvas", role: "img", "aria-label": "J over time of every rule" });
    this.body = el("tbody", {});
    const heads = [["", ""], ["rule", ""], ["mean J", "num"], ["ms per frame", "num"], ["frames held at most", "num"], ["frames kept at the end", ""]];
    this.table = el("table", { hidden: true }, el("thead", {}, el("tr", {},
      ...heads.map(([text, kind]) => el("th", { scope: "col", class: kind }, text)))), this.body);
    this.title = el("h3", { hidden: true }, "J of each rule over the frames, mean of the objects");
    this.root = el("div", { class: "panel", "data-panel": "race", hidden: true },
      el("p", {}, "Every rule segments the same video. Point at a row to see its curve, click it to look into that run."),
      el("div", { class: "row" }, el("label", {}, "slots K ", this.count),
        el("button", { type: "button", class: "primary", "data-do": "race", onclick: () => this.start() }, "race all rules")),
      this.title, this.canvas, this.table);
  }

  about() {
    this.count.value = this.app.about.slots || 6;
  }

  async start() {
    const answer = await this.app.ask("race", { slots: Number(this.count.value) || null });
    if (!answer) return;
    this.members = answer.made;
    this.app.setRuns(answer);
  }

  line(n) {
    const { lines } = this.app.about;
    return { colour: lines[n % lines.length], dash: DASHES[Math.floor(n / lines.length) % DASHES.length + (n % 3)] || [] };
  }

  update() {
    if (this.root.hidden || !this.members.length) return;
    this.table.hidden = false;
    this.chart();
    const { app } = this;
    const order = this.members.map((run, n) => [app.runs[run], n]).sort((a, b) => (b[0].j ?? -1) - (a[0].j ?? -1));
    this.body.replaceChildren(...order.map(([run, n]) => this.row(run, n)));
  }

  /** The curves; the axis begins at the lowest tenth that is reached. */
  chart() {
    const { app, canvas } = this;
    if (!app.hasJ()) return;
    this.title.hidden = false;
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

  row(run, n) {
    const { app } = this;
    const { colour, dash } = this.line(n);
    const state = run.done < app.about.frames ? ` (${run.done} of ${app.about.frames})` : "";
    const kept = el("td", { class: "kept" });
    if (run.done >= app.about.frames) this.keptFrames(kept, run);
    const look = () => app.choose(run.number);
    return el("tr", { tabindex: 0, onclick: look, onmouseenter: () => this.point(n), onmouseleave: () => this.point(null),
      onkeydown: (e) => e.key === "Enter" && look(),
      class: run.number === app.run ? "chosen" : "" },
    el("td", {}, el("i", { class: "line", style: `border-top: 3px ${dash.length ? "dashed" : "solid"} ${colour}` })),
    el("td", {}, run.name + state), el("td", { class: "num" }, fixed(run.j, 3)),
    el("td", { class: "num" }, fixed(run.ms, 1)), el("td", { class: "num" }, String(run.most)), kept);
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
