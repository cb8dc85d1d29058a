// What if the memory were another one from this frame on?

class WhatIf {
  constructor(app) {
    this.app = app;
    this.rule = el("select", { "aria-label": "rule from here on" });
    this.count = el("input", { type: "number", min: 1, max: 64, "aria-label": "slots from here on (K)" });
    this.frame = el("input", { type: "number", min: 0, value: 0, "aria-label": "frame to put into a slot" });
    this.here = el("strong", {});
    this.result = el("p", { class: "result", "aria-live": "polite" });
    this.root = el("div", { class: "panel", "data-panel": "whatif" },
      el("p", {}, "From frame ", this.here, " on: drop, freeze or swap a slot with the buttons below its picture, "
        + "or change the rule or the number of slots. The run that follows is shown beside this one."),
      el("div", { class: "row" },
        el("label", {}, "rule ", this.rule), el("label", {}, "slots K ", this.count),
        el("button", { type: "button", class: "primary", "data-do": "rule", onclick: () => this.change() }, "change from here on"),
        el("span", { class: "gap" }), el("label", {}, "swap puts in frame ", this.frame)), this.result);
  }

  swapFrame() {
    return Number(this.frame.value);
  }

  change() {
    this.app.change({ rule: this.rule.value, slots: this.count.value ? Number(this.count.value) : null });
  }

  about() {
    const { about } = this.app;
    setOptions(this.rule, about.rules.map((r) => [r.name, r.title]), about.rule);
    this.count.value = about.slots || "";
  }

  update() {
    const { app } = this;
    this.here.textContent = app.frame;
    if (app.beside === null) {
      this.result.textContent = "";
      return;
    }
    const [main, other] = [app.runs[app.run], app.runs[app.beside]];
    if (equalRuns(main, other)) {
      this.result.textContent = `“${other.name}” has the same masks as “${main.name}” in every frame.`;
      return;
    }
    const from = Math.max(main.start, other.start);
    const [a, b] = [app.run, app.beside].map((n) => meanFrom(app.details.get(n), from));
    this.result.textContent = Number.isFinite(a) && Number.isFinite(b)
      ? `Mean J from frame ${from} on: ${a.toFixed(3)} (${main.name}), ${b.toFixed(3)} (${other.name}), `
        + `difference ${b >= a ? "+" : "−"}${Number(Math.abs(b - a).toPrecision(2))}.` : "";
  }
}

/** Whether all masks of two finished runs are the same. */
const equalRuns = (a, b) => a.number === (b.equal ?? b.number) || b.number === (a.equal ?? a.number)
  || (a.equal !== null && a.equal === b.equal);

/** Mean over frames of the mean J, from a frame on. */
function meanFrom(detail, from) {
  if (!detail) return NaN;
  const values = Array.from(detail.j[0].slice(from)).filter(Number.isFinite);
  return values.length ? values.reduce((a, b) => a + b, 0) / values.length : NaN;
}
