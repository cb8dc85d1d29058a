// `stremn mask`: one frame, chosen by a slider, and the drawing on it.

class MaskPage {
  constructor(model) {
    this.link = new Link(model);
    this.frame = 0;
    this.status = el("div", { class: "status", role: "status", "aria-live": "polite" });
    this.draw = new Draw(this);
    this.title = el("h2", {}, "First mask");
    this.slider = el("input", { type: "range", min: 0, max: 0, value: 0, class: "frames", "aria-label": "frame",
      oninput: () => this.show(Number(this.slider.value)) });
    this.number = el("input", { type: "number", min: 0, max: 0, value: 0, "aria-label": "number of the frame",
      onchange: () => this.show(Number(this.number.value)) });
    this.root = el("div", { class: "stremn-explorer", tabindex: -1, "data-lm-suppress-shortcuts": "true" },
      el("header", {}, this.title, this.status), el("div", { class: "row" }, el("label", {}, "frame ", this.number), this.slider), this.draw.root);
  }

  async start() {
    this.about = await persist(() => this.ask("hello"), () => this.closed);
    if (!this.about) return;
    const { video, width, height, frames, frame, colours } = this.about;
    for (const [name, colour] of Object.entries(colours)) this.root.style.setProperty(`--${name}`, colour);
    this.title.textContent = `First mask: ${video}, ${width}×${height} pixels`;
    this.slider.max = this.number.max = frames - 1;
    this.draw.root.hidden = false;
    await this.show(frame);
    this.root.dataset.ready = "true";
  }

  async ask(what, content, buffers) {
    try {
      const answer = await this.link.ask(what, content, buffers);
      this.say("");
      return answer;
    } catch (problem) {
      this.say(problem.message, true);
      return null;
    }
  }

  say(text, problem = false) {
    this.status.textContent = text;
    this.status.classList.toggle("problem", problem);
  }

  show(frame) {
    this.frame = Math.max(0, Math.min(this.about.frames - 1, Math.round(frame) || 0));
    this.slider.value = this.number.value = this.frame;
    return this.draw.paint();
  }

  close() {
    this.closed = true;
    this.draw.close();
    this.link.close();
  }
}

export default {
  render({ model, el: place }) {
    const page = new MaskPage(model);
    place.append(page.root);
    page.start();
    return () => page.close();
  },
};
