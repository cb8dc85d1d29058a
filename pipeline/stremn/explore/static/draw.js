// Draw a mask on the current frame (brush, polygon, fill) and segment from it.

class Draw {
  constructor(app) {
    this.app = app;
    this.drawn = new Map();
    this.undone = [];
    this.tool = "brush";
    this.points = [];
    this.canvas = el("canvas", { class: "draw-canvas", "aria-label": "frame to draw a mask on" });
    this.object = el("input", { type: "number", min: 1, max: 20, value: 1, "aria-label": "object to draw" });
    this.swatch = el("i", { class: "swatch" });
    this.width = el("input", { type: "range", min: 1, max: 60, value: 12, "aria-label": "width of the brush" });
    this.here = el("strong", {});
    this.note = el("p", { class: "note", "aria-live": "polite" });
    const titles = { brush: "paint the object", erase: "paint background", polygon: "click corners; the first again, or Enter, closes",
      fill: "click inside an outline to fill it" };
    this.tools = Object.entries(titles).map(([tool, title]) => el("button", { type: "button", title, "data-tool": tool,
      "aria-pressed": String(tool === "brush"), onclick: () => this.take(tool) }, tool));
    const button = (text, title, work, primary) => el("button", { type: "button", title, "data-do": text,
      class: primary ? "primary" : "", onclick: work }, text);
    this.root = el("div", { class: "panel", "data-panel": "draw", hidden: true },
      el("p", {}, "Mask of frame ", this.here, ". A mask of frame 0 starts anew; one of a later frame adds or corrects its objects there."),
      el("div", { class: "row" }, ...this.tools, el("label", {}, "width ", this.width), el("label", {}, "object ", this.object, this.swatch),
        button("undo", "take the last stroke back", () => this.undo()),
        button("clear", "no mask", () => this.clear()),
        button("from run", "start from the run's mask of this frame", () => this.fromRun()),
        button("segment", "segment the video from what is drawn", () => this.segment(), true)),
      this.canvas, this.note);
    this.canvas.addEventListener("pointerdown", (e) => { this.canvas.setPointerCapture(e.pointerId); this.down(e); });
    this.canvas.addEventListener("pointermove", (e) => { if (e.buttons && this.last) this.stroke(e); });
    this.canvas.addEventListener("pointerup", () => { this.last = null; });
    this.object.addEventListener("input", () => this.paint());
    this.root.addEventListener("keydown", (e) => { if (e.key === "Enter" && this.points.length > 2) this.close(); });
  }

  take(tool) {
    this.tool = tool;
    this.points = [];
    for (const button of this.tools) button.setAttribute("aria-pressed", button.dataset.tool === tool);
    this.paint();
  }

  mask() {
    const { frame, about } = this.app;
    if (!this.drawn.has(frame)) this.drawn.set(frame, new Uint8Array(about.width * about.height));
    return this.drawn.get(frame);
  }

  remember() {
    this.undone.push([this.app.frame, this.mask().slice()]);
    if (this.undone.length > 20) this.undone.shift();
  }

  undo() {
    const last = this.undone.pop();
    if (last) this.drawn.set(...last);
    this.paint();
  }

  clear() {
    this.remember();
    this.mask().fill(0);
    this.points = [];
    this.paint();
  }

  async fromRun() {
    const answer = await this.app.ask("mask", { run: this.app.run, frame: this.app.frame });
    const ids = answer && numbers(answer.buffers[0], Uint8Array);
    if (!ids || !ids.length) return;
    this.remember();
    this.drawn.set(this.app.frame, ids);
    this.paint();
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * this.app.about.width,
      y: ((event.clientY - box.top) / box.height) * this.app.about.height };
  }

  down(event) {
    const point = this.at(event);
    if (this.tool === "polygon") {
      const near = this.app.about.width / 40;
      const first = this.points[0];
      if (this.points.length > 2 && Math.hypot(point.x - first.x, point.y - first.y) < near) this.close();
      else this.points.push(point);
      this.paint();
      return;
    }
    this.remember();
    if (this.tool === "fill") {
      this.fill(Math.floor(point.x), Math.floor(point.y));
      this.paint();
      return;
    }
    this.last = point;
    this.stroke(event);
  }

  stroke(event) {
    const to = this.at(event);
    const radius = (Number(this.width.value) * this.app.about.width) / 480 / 2 + 0.5;
    const steps = Math.ceil(Math.hypot(to.x - this.last.x, to.y - this.last.y) / Math.max(1, radius / 2)) + 1;
    for (let n = 0; n <= steps; n++) {
      const share = n / steps;
      this.disc(this.last.x + share * (to.x - this.last.x), this.last.y + share * (to.y - this.last.y), radius);
    }
    this.last = to;
    this.paint();
  }

  disc(cx, cy, radius) {
    const { width, height } = this.app.about;
    const mask = this.mask();
    const id = this.tool === "erase" ? 0 : Number(this.object.value);
    for (let y = Math.max(0, Math.ceil(cy - radius)); y <= Math.min(height - 1, cy + radius); y++) {
      for (let x = Math.max(0, Math.ceil(cx - radius)); x <= Math.min(width - 1, cx + radius); x++) {
        if ((x - cx) ** 2 + (y - cy) ** 2 <= radius ** 2) mask[y * width + x] = id;
      }
    }
  }

  /** The polygon's inside, by the even-odd rule. */
  close() {
    this.remember();
    const { width, height } = this.app.about;
    const mask = this.mask();
    const id = Number(this.object.value);
    for (let y = 0; y < height; y++) {
      const cuts = [];
      this.points.forEach((a, n) => {
        const b = this.points[(n + 1) % this.points.length];
        if (a.y > y + 0.5 !== b.y > y + 0.5) cuts.push(a.x + ((y + 0.5 - a.y) / (b.y - a.y)) * (b.x - a.x));
      });
      cuts.sort((a, b) => a - b);
      for (let n = 0; n + 1 < cuts.length; n += 2) {
        for (let x = Math.max(0, Math.ceil(cuts[n] - 0.5)); x < Math.min(width, cuts[n + 1] - 0.5); x++) mask[y * width + x] = id;
      }
    }
    this.points = [];
    this.paint();
  }

  /** The connected region of one id under the pixel becomes the object. */
  fill(x, y) {
    const { width, height } = this.app.about;
    const mask = this.mask();
    const [from, id] = [mask[y * width + x], Number(this.object.value)];
    if (from === id) return;
    const todo = [y * width + x];
    while (todo.length) {
      const at = todo.pop();
      if (mask[at] !== from) continue;
      mask[at] = id;
      const column = at % width;
      if (column > 0) todo.push(at - 1);
      if (column < width - 1) todo.push(at + 1);
      if (at >= width) todo.push(at - width);
      if (at < width * (height - 1)) todo.push(at + width);
    }
  }

  async segment() {
    const frames = [...this.drawn.keys()].filter((frame) => this.drawn.get(frame).some((id) => id)).sort((a, b) => a - b);
    if (!frames.length) {
      this.note.textContent = "Draw an object first.";
      return;
    }
    const answer = await this.app.ask("segment", { run: this.app.run, frames }, frames.map((frame) => this.drawn.get(frame).buffer));
    if (!answer) return;
    this.note.textContent = "";
    this.app.setRuns(answer);
    this.app.choose(answer.made);
  }

  paint() {
    if (this.root.hidden || !this.app.stage.picture) return;
    const { width, height, objects } = this.app.about;
    this.here.textContent = this.app.frame;
    this.swatch.style.background = objects[(Math.max(1, Number(this.object.value)) - 1) % objects.length];
    const { canvas } = this;
    const zoom = Math.max(1, Math.round(640 / width));
    canvas.width = width * zoom;
    canvas.height = height * zoom;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(this.app.stage.picture, 0, 0, canvas.width, canvas.height);
    const layer = new ImageData(width, height);
    this.mask().forEach((id, n) => {
      if (!id) return;
      const colour = Number.parseInt(objects[(id - 1) % objects.length].slice(1), 16);
      layer.data.set([colour >> 16, (colour >> 8) & 255, colour & 255, 150], 4 * n);
    });
    const small = document.createElement("canvas");
    small.width = width;
    small.height = height;
    small.getContext("2d").putImageData(layer, 0, 0);
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
    if (!this.points.length) return;
    context.beginPath();
    for (const { x, y } of this.points) context.lineTo(x * zoom, y * zoom);
    context.strokeStyle = "#fff";
    context.lineWidth = 2;
    context.stroke();
    for (const { x, y } of this.points) {
      context.fillStyle = "#000";
      context.fillRect(x * zoom - 3, y * zoom - 3, 6, 6);
    }
  }
}
