// The rows above the pictures: which run, which frame, what is shown, how it plays.

class Controls {
  constructor(app) {
    this.app = app;
    this.player = new Player("", () => this.step(), () => this.begin());
    this.runSelect = el("select", { "aria-label": "run", onchange: () => app.choose(Number(this.runSelect.value)) });
    this.besideSelect = el("select", { "aria-label": "run beside it",
      onchange: () => app.choose(app.run, this.besideSelect.value === "" ? null : Number(this.besideSelect.value)) });
    this.speed = el("select", { "aria-label": "frames per second" });
    setOptions(this.speed, [2, 5, 10, 20].map((n) => [n, `${n} frames/s`]), 5);
    this.pace = el("span", { class: "note", "aria-live": "polite" });
    this.beats = [];
    this.where = el("output", { class: "where" });
    this.status = el("div", { class: "status", role: "status", "aria-live": "polite" });
    this.stopButton = el("button", { type: "button", hidden: true, onclick: () => app.ask("stop") }, "stop");
    this.resumeButton = el("button", { type: "button", hidden: true, title: "go on with this run where it was stopped",
      onclick: () => this.resume() }, "go on");
    this.correctButton = el("button", { type: "button", "data-do": "correct", hidden: true,
      title: "draw on this frame's mask, and go on from here", onclick: () => app.correct() }, "correct this mask");
    this.scaleBar = el("div", { class: "heat-scale" });
    this.header = el("header", {}, el("h2", {}, "Memory explorer"), el("label", {}, "run ", this.runSelect),
      el("label", {}, "beside ", this.besideSelect), this.status, this.stopButton, this.resumeButton, el("span", { class: "tools" },
      el("button", { type: "button", "data-do": "tour", title: "what is where, in five steps", onclick: () => app.tour.start() }, "tour"),
      el("button", { type: "button", "data-do": "help", title: "words and keys", onclick: () => app.help.toggle() }, "help")));
    this.root = this.row();
  }

  row() {
    const { app } = this;
    const step = (by, text, title) => el("button", { type: "button", title, "aria-label": title,
      onclick: () => app.show(app.frame + by) }, text);
    const toggle = (name, text, title) => el("label", { class: "toggle", title }, el("input", { type: "checkbox",
      "data-show": name, checked: app.shows[name], onchange: (e) => app.toggle(name, e.target.checked) }), text);
    this.truthToggle = toggle("truth", "true outline", "outline of the ground truth (yellow and black)");
    return el("div", { class: "controls" }, step(-1, "◀◀", "one frame back (left arrow)"), this.player.button,
      step(1, "▶▶", "one frame on (right arrow)"), this.where, this.speed, this.pace, this.correctButton,
      toggle("mask", "mask", "objects in colour"), this.truthToggle,
      toggle("heat", "heat", "attention of the clicked pixel over the kept frames"),
      toggle("whole", "whole object", "attention averaged over the object under the pixel (STM Fig. 5)"),
      toggle("own", "own scale", "the brightest place of each slot, however little of the read it has; else one scale for all"),
      el("button", { type: "button", title: "no pixel: read mass of the whole frame again", onclick: () => app.pick(null) },
        "clear pixel"), this.scaleBar);
  }

  setRuns(runs, run, beside, busy) {
    const { frames } = this.app.about;
    const words = { stopped: "stopped: ", waiting: "waits: " };
    const pairs = runs.map((r) => [r.number, r.done < frames ? `${r.name} (${words[r.state] ?? ""}${r.done} frames)` : r.name]);
    setOptions(this.runSelect, pairs.length ? pairs : [["", "none yet"]], pairs.length ? run : "");
    setOptions(this.besideSelect, [["", "none"], ...pairs], beside === null ? "" : beside);
    this.stopButton.hidden = !busy;
    this.resumeButton.hidden = runs[run]?.state !== "stopped";
    this.correctButton.hidden = !runs[run]?.inside;
  }

  async resume() {
    const answer = await this.app.ask("resume", { run: this.app.run });
    if (answer) this.app.setRuns(answer);
  }

  /** A frame was drawn: say so where it plays slower than is wished. */
  beat() {
    if (this.player.timer === null) return;
    this.beats = [...this.beats.slice(-9), performance.now()];
    if (this.beats.length < 5) return;
    const rate = (1000 * (this.beats.length - 1)) / (this.beats.at(-1) - this.beats[0]);
    this.pace.textContent = rate < 0.85 * Number(this.speed.value) ? `plays slower: ${rate.toFixed(rate < 3 ? 1 : 0)} frames/s` : "";
  }

  say(text, problem = false) {
    this.status.textContent = text;
    this.status.classList.toggle("problem", problem);
  }

  /** What the colours of the heat maps say; without them how one gets them. */
  heatScale(heat, top) {
    const { app } = this;
    if (!heat || !app.shows.heat) {
      this.scaleBar.textContent = app.runs[app.run]?.inside && app.shows.heat ? "Click a pixel of the frame: where does it read?" : "";
      return;
    }
    const middle = 0.5 ** (1 / HEAT_POWER);
    const [half, most] = app.shows.own ? [`${Math.round(100 * middle)} %`, "the slot's most"] : [percent(middle * top, 1), percent(top, 1)];
    this.scaleBar.replaceChildren(`attention of a position${heat.positions > 1 ? `, mean of ${heat.positions} positions` : ""}: 0`,
      colourBar(app.map), `${most} (half-way: ${half})`);
  }

  /** From the first frame again where the last one is shown. */
  begin() {
    const { app } = this;
    if (app.frame >= app.about.frames - 1) app.frame = -1;
    this.beats = [];
    this.pace.textContent = "";
    return true;
  }

  async step() {
    const { app } = this;
    const began = performance.now();
    await app.show(app.frame + 1);
    if (app.frame >= app.about.frames - 1) return null;
    return Math.max(0, 1000 / Number(this.speed.value) - (performance.now() - began));
  }

  close() {
    this.player.stop();
  }
}
