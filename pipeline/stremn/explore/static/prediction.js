// A predictor on the video: true, predicted and wrong, frame by frame, and the slots it read.

class Prediction {
  constructor(app) {
    this.app = app;
    this.answer = this.at = null;
    this.chart = el("canvas", { class: "prediction-chart", tabindex: 0, role: "slider",
      "aria-label": "frame of the prediction; arrow keys step, space plays", "aria-valuemin": 0 });
    this.player = new Player(" the prediction", () => this.step(), () => this.answer !== null);
    this.facts = el("p", { class: "result", "aria-live": "polite" }, "Predicting …");
    this.legend = el("div", { class: "legend" });
    this.figures = Object.fromEntries(["truth", "predicted", "error"].map((name) => [name, this.figure(name)]));
    this.title = el("h3", {});
    this.strip = el("div", { class: "slot-grid" });
    this.note = el("p", { class: "note" });
    this.root = el("div", { class: "panel", "data-panel": "prediction", hidden: true },
      el("p", {}, "The predictor sees the observed frames one after the other, and predicts the next one each time. "
        + "Then it goes on alone: each prediction takes the place of the frame. Drag in the chart, or use the arrow keys."),
      el("div", { class: "row" }, this.player.button, this.facts), this.legend, this.chart,
      el("div", { class: "prediction-pictures" }, ...Object.values(this.figures).map((f) => f.root)),
      this.title, this.strip, this.note);
    this.cards = [];
    this.wish = new Latest((at) => this.load(at));
    this.listen();
  }

  figure(name) {
    const title = el("figcaption", {});
    const canvas = el("canvas", { role: "img", "data-picture": name });
    const below = el("div", { class: "below" });
    return { root: el("figure", {}, title, canvas, below), title, canvas, below };
  }

  listen() {
    const { chart } = this;
    const scrub = (event) => this.answer && this.show(Math.floor(this.scale().frame(event.offsetX)) - this.answer.start);
    chart.addEventListener("pointerdown", (event) => { chart.setPointerCapture(event.pointerId); scrub(event); });
    chart.addEventListener("pointermove", (event) => { if (event.buttons) scrub(event); });
    chart.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };
      if (event.key in moves) this.show(this.at + moves[event.key]);
      else if (event.key === " ") this.player.toggle();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** First what follows the observed frames: there is something to see in every picture. */
  open() {
    if (!this.answer) this.wish.want(null);
    else this.draw();
  }

  show(at) {
    if (!this.answer) return null;
    this.at = Math.max(0, Math.min(this.answer.count - 1, at));
    return this.wish.want(this.at);
  }

  async step() {
    await this.show((this.at + 1) % this.answer.count);
    return 1000 / Number(this.app.controls.speed.value);
  }

  async load(at) {
    const answer = await this.app.ask("prediction", at === null ? {} : { at });
    if (!answer) return;
    this.answer = answer;
    if (at === null) this.at = answer.at;
    const pictures = answer.buffers.map((bytes) => numbers(bytes, Uint8Array));
    this.describe();
    this.paintFigures(pictures);
    this.paintSlots(pictures.slice(answer.shown.length));
    this.draw();
    this.root.dataset.shown = answer.at;
  }

  describe() {
    const { at, count, start, observed, errors, slots } = this.answer;
    const alone = at - observed + 1;
    this.facts.textContent = `Frame ${start + at}: ${alone > 0 ? `predicted alone, ${alone} of ${count - observed}` : "observed"}`
      + (errors[at] == null ? "" : `; mean square error ${errors[at].toFixed(4)}`);
    const next = slots.find((slot) => slot.next);
    this.title.textContent = at === 0 ? "Slots" : `Slots that frame ${start + at - 1} read to predict frame ${start + at}`
      + (next ? `; then it takes the place of frame ${next.frame}` : "");
    this.note.textContent = at === 0 ? "Nothing is predicted before the first frame."
      : slots.length ? "" : "None yet: a template is made of several frames.";
  }

  paintFigures(pictures) {
    const { at, start, observed, side, shown, error_top: top } = this.answer;
    const titles = { truth: at < observed ? "true (the predictor sees it)" : "true (the predictor does not see it)",
      predicted: "predicted", error: "error |predicted − true|" };
    const missing = { truth: "The video has ended.", predicted: "No prediction of the first frame.", error: "" };
    for (const [name, { title, canvas, below }] of Object.entries(this.figures)) {
      const n = shown.indexOf(name);
      title.textContent = titles[name];
      canvas.setAttribute("aria-label", `${titles[name]}, frame ${start + at}`);
      paintGrey(canvas, n < 0 ? null : pictures[n], side, name === "error" ? this.app.map : null);
      below.replaceChildren(n < 0 ? missing[name] : "");
      if (name === "error" && n >= 0) below.replaceChildren("0 ", colourBar(this.app.map), ` ${top} and more (black to white: 1)`);
    }
  }

  paintSlots(pictures) {
    const { slots, side } = this.answer;
    this.strip.replaceChildren(...slots.map((slot, n) => {
      this.cards[n] = this.cards[n] || slotCard();
      const card = this.cards[n];
      fillCard(card, slot, slot.mass, `${percent(slot.mass)} of the read`);
      card.facts.append(el("span", {}, slot.observed ? "observed frame" : "own prediction"));
      paintGrey(card.canvas, pictures[n], side, null);
      return card.root;
    }));
  }

  scale() {
    const { start, count } = this.answer;
    return new Scale(start, start + count, 62, this.chart.clientWidth - 10);
  }

  /** The error over the frames, what was observed, and which frames are in the slots. */
  draw() {
    const { app, chart, answer } = this;
    if (!answer || this.root.hidden || !chart.clientWidth) return;
    const [top, bottom] = [20, 92];
    const context = sized(chart, chart.clientWidth, 134);
    const { colours } = app.about;
    const scale = this.scale();
    const border = scale.x(answer.start + answer.observed);
    context.fillStyle = "#edf3f8";
    context.fillRect(scale.left, top, border - scale.left, bottom - top);
    label(context, "observed", scale.left + 4, 4, colours.ink);
    label(context, "predicted alone", border + 4, 4, colours.ink);
    label(context, "MSE", 4, 4, colours.ink);
    label(context, "in a slot", 4, bottom + 6, colours.ink);
    const most = Math.max(1e-6, ...answer.errors.map((e) => e || 0));
    axis(context, scale, top, bottom, [[0, "0"], [1, most.toFixed(3)]], colours.ink);
    const shares = answer.errors.map((e) => (e == null ? NaN : e / most));
    curve(context, scale, shares, top, bottom, { colour: colours.blue, width: 2, from: answer.start });
    context.fillStyle = colours.ink;
    context.fillRect(border - 0.5, top - 12, 1, bottom - top + 12);
    for (const slot of answer.slots) {
      context.fillStyle = slot.next ? colours.vermilion : colours.green;
      context.fillRect(scale.x(slot.frame + 0.5) - 4, bottom + 7, 8, 8);
    }
    axisOfFrames(context, scale, bottom + 20, colours.ink);
    cursor(context, scale, answer.start + answer.at, top - 1, bottom + 20, colours.ink);
    this.legend.replaceChildren(legendKey(`background:${colours.blue};height:3px`, "mean square error of each predicted frame"),
      legendKey(`background:${colours.green};width:10px`, "in a slot"), legendKey(`background:${colours.vermilion};width:10px`, "in a slot, goes next"));
    chart.setAttribute("aria-valuemax", answer.start + answer.count - 1);
    chart.setAttribute("aria-valuenow", answer.start + answer.at);
  }

  close() {
    this.player.stop();
  }
}

/** Grey values uint8 (side, side) on a canvas, in the colours of a map where one is given; empty for null. */
function paintGrey(canvas, values, side, map) {
  canvas.width = canvas.height = side;
  if (!values) return;
  const image = new ImageData(side, side);
  values.forEach((v, n) => image.data.set(map ? [map[3 * v], map[3 * v + 1], map[3 * v + 2], 255] : [v, v, v, 255], 4 * n));
  canvas.getContext("2d").putImageData(image, 0, 0);
}
