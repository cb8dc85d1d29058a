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
    this.where = el("output", { class: "where" });
    this.status = el("div", { class: "status", role: "status", "aria-live": "polite" });
    this.stopButton = el("button", { type: "button", hidden: true, onclick: () => app.ask("stop") }, "stop");
    this.scaleBar = el("div", { class: "heat-scale" });
    this.header = el("header", {}, el("h2", {}, "Memory explorer"), el("label", {}, "run ", this.runSelect),
      el("label", {}, "beside ", this.besideSelect), this.status, this.stopButton);
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
      step(1, "▶▶", "one frame on (right arrow)"), this.where, this.speed,
      toggle("mask", "mask", "objects in colour"), this.truthToggle,
      toggle("heat", "heat", "attention of the clicked pixel over the kept frames"),
      toggle("whole", "whole object", "attention averaged over the object under the pixel (STM Fig. 5)"),
      toggle("own", "own scale", "the brightest place of each slot, however little of the read it has; else one scale for all"),
      el("button", { type: "button", title: "no pixel: read mass of the whole frame again", onclick: () => app.pick(null) },
        "clear pixel"), this.scaleBar);
  }

  setRuns(runs, run, beside, busy) {
    const { frames } = this.app.about;
    const pairs = runs.map((r) => [r.number, r.done < frames ? `${r.name} (${r.done} frames)` : r.name]);
    setOptions(this.runSelect, pairs.length ? pairs : [["", "none yet"]], pairs.length ? run : "");
    setOptions(this.besideSelect, [["", "none"], ...pairs], beside === null ? "" : beside);
    this.stopButton.hidden = !busy;
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
