// Observed, predicted and true frames, the error, and the slots of a predictor.

class Prediction {
  constructor(app) {
    this.app = app;
    this.at = el("input", { type: "range", min: 0, value: 0, "aria-label": "frame of the prediction" });
    this.facts = el("p", { class: "result", "aria-live": "polite" });
    this.pictures = el("div", { class: "prediction-pictures" });
    this.strip = el("div", { class: "slot-grid" });
    this.root = el("div", { class: "panel", "data-panel": "prediction", hidden: true },
      el("p", {}, "The predictor watches the observed frames, then goes on with its own predictions."),
      el("div", { class: "row" }, el("label", { class: "wide" }, "frame ", this.at)), this.facts, this.pictures,
      el("h3", {}, "Slots"), this.strip);
    this.wish = new Latest((frame) => this.show(frame));
    this.at.addEventListener("input", () => this.wish.want(Number(this.at.value)));
  }

  open() {
    this.wish.want(Number(this.at.value));
  }

  async show(frame) {
    const answer = await this.app.ask("prediction", { frame });
    if (!answer) return;
    this.at.max = answer.last;
    const shown = await Promise.all(answer.buffers.map((bytes) => bitmap(bytes, "image/jpeg")));
    const figure = (picture, title) => {
      const canvas = el("canvas", { width: picture.width, height: picture.height, role: "img", "aria-label": title });
      canvas.getContext("2d").drawImage(picture, 0, 0);
      return el("figure", {}, el("figcaption", {}, title), canvas);
    };
    this.facts.textContent = answer.facts;
    this.pictures.replaceChildren(...answer.titles.map((title, n) => figure(shown[n], title)));
    this.strip.replaceChildren(...answer.slots.map((slot, n) => {
      const card = figure(shown[answer.titles.length + n], `slot ${slot.slot + 1}: frame ${slot.frame}`);
      card.className = slot.next ? "slot next" : "slot";
      card.append(el("span", {}, `${percent(slot.mass)} of the read, ${slot.age} old`
        + (slot.score == null ? "" : `, score ${fixed(slot.score, 3)}`) + (slot.next ? ", goes next" : "")));
      return card;
    }));
  }
}
