// Draw masks: brush, polygon, box, fill, a first guess from a box or clicks; kept in Python, so that a reload finds them.

const TOOLS = {
  brush: "paint the object; the right button erases ([ and ] change the width)",
  erase: "paint background",
  polygon: "click corners; the first again, or Enter, closes; Escape gives up",
  box: "drag a filled box",
  fill: "click inside an outline to fill it",
  guess: "drag a box around the object, or click on it: a first guess, to be corrected",
  "not this": "click on what a guess took by mistake",
};
const PRESSED = new Set(["BUTTON", "SELECT", "SUMMARY"]); // by the space key

class Draw extends Strokes {
  /** `host` shows one frame: link, about, frame, ask(), show(). `segments`: it can segment from what is drawn. */
  constructor(host, { segments = false } = {}) {
    super(host);
    host.segments = segments;
    this.frames = new Latest((frame) => this.load(frame));
    this.build();
    this.keys = (event) => this.key(event);
    window.addEventListener("keydown", this.keys, true);
    this.released = (event) => { if (event.key === " ") this.lens.space = false; };
    window.addEventListener("keyup", this.released, true);
    host.link.on("drawn", (message) => this.drawnElsewhere(message));
  }

  close() {
    window.removeEventListener("keydown", this.keys, true);
    window.removeEventListener("keyup", this.released, true);
    this.resized.disconnect();
  }

  build() {
    const button = (name, title, work, text = name) => el("button", { type: "button", title, "aria-label": text === name ? null : name,
      "data-do": name, onclick: work }, text);
    this.tools = Object.entries(TOOLS).map(([tool, title]) => el("button", { type: "button", title, "data-tool": tool,
      "aria-pressed": String(tool === this.tool), onclick: () => this.take(tool) }, tool));
    this.width = el("input", { type: "range", min: 1, max: 100, value: 14, "aria-label": "width of the brush", oninput: () => this.draw() });
    this.here = el("strong", {});
    this.note = el("p", { class: "note", "aria-live": "polite" });
    this.canvas = el("canvas", { class: "draw-canvas", tabindex: 0, role: "img", "aria-label": "frame to draw a mask on" });
    this.lens = new Lens(this.canvas, this, () => this.draw());
    this.canvas.addEventListener("pointermove", (event) => { this.cursor = this.lens.pixel(this.lens.css(event)); this.draw(); });
    this.canvas.addEventListener("pointerleave", () => { this.cursor = null; this.draw(); });
    this.saving = new Saving(this);
    this.objectsPlace = el("div", {});
    this.undoButton = button("undo", "undo the last change (Ctrl+Z)", () => this.undo(), "undo");
    this.redoButton = button("redo", "redo it (Ctrl+Y)", () => this.redo(), "redo");
    this.root = el("div", { class: "panel", "data-panel": "draw", hidden: true },
      el("p", {}, "Mask of frame ", this.here, this.host.segments
        ? ". A mask of frame 0 starts anew; one of a later frame adds or corrects its objects there."
        : ". Objects that appear later: go to their frame and draw them there, too."),
      el("div", { class: "row", role: "toolbar", "aria-label": "tools" }, ...this.tools, el("label", {}, "width ", this.width),
        this.undoButton, this.redoButton, button("clear", "no mask", () => this.change((raster) => raster.all(new Uint8Array(raster.ids.length)))),
        this.host.segments ? button("from run", "start from the run's mask of this frame", () => this.fromRun()) : null,
        button("zoom in", "zoom in (wheel)", () => this.lens.scale(1.5), "+"), button("zoom out", "zoom out (wheel)", () => this.lens.scale(1 / 1.5), "−"),
        button("fit", "the whole frame; space or the middle button moves it", () => this.lens.fit())),
      this.objectsPlace, el("div", {}, this.canvas), this.note,
      this.host.segments ? el("div", { class: "row" }, el("button", { type: "button", class: "primary", "data-do": "segment",
        title: "segment the video from what is drawn", onclick: () => this.segment() }, "segment")) : null,
      this.saving.root);
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.root);
  }

  /** Shown because it was asked for: its canvas comes into view. */
  open() {
    this.comes = true;
    this.paint();
    if (this.shown === this.host.frame) this.come();
  }

  come() {
    if (this.comes) this.canvas.scrollIntoView({ block: "nearest" });
    this.comes = false;
  }

  take(tool) {
    this.tool = tool;
    this.points = [];
    for (const button of this.tools) button.setAttribute("aria-pressed", button.dataset.tool === tool);
    this.draw();
  }

  /** The host shows a frame, maybe another one. */
  paint() {
    if (this.root.hidden || !this.host.about) return null;
    if (this.shown !== this.host.frame) return this.frames.want(this.host.frame);
    return this.draw();
  }

  async load(frame) {
    const { width, height, objects } = this.host.about;
    const [seen] = await Promise.all([this.host.ask("picture", { frame }), this.keep(frame)]);
    if (!seen || !this.rasters.has(frame)) return;
    if (!this.objects) {
      this.objects = new Objects(objects, (named) => { this.names = this.objects.names; if (named) this.push(); else this.forget(); });
      this.objectsPlace.append(this.objects.root);
      this.layer = new Layer(objects);
      this.width.max = Math.max(60, Math.round(width / 6));
      this.width.value = Math.max(4, Math.round(width / 40));
    }
    this.objects.know(this.names, this.rasters.get(frame).ids);
    this.picture = await bitmap(seen.buffers[0], "image/jpeg");
    if (!this.rasters.has(frame)) return;
    Object.assign(this, { shown: frame, points: [], from: null, last: null, hints: NO_HINTS });
    this.here.textContent = frame;
    this.lens.show(width, height);
    this.layer.paint(this.raster, true);
    this.draw();
    this.come();
    this.root.dataset.frame = frame;
  }

  /** What is drawn on a frame, from Python where it is not known here. */
  async keep(frame) {
    if (this.rasters.has(frame)) return;
    const { width, height } = this.host.about;
    const kept = await this.host.ask("drawing", { frame });
    if (!kept) return;
    this.rasters.set(frame, new Raster(width, height, numbers(kept.buffers[0], Uint8Array)));
    this.names = kept.names;
    this.saving.file.value ||= kept.file;
  }

  /** Another tab drew on a frame: what is known of it here is old. */
  drawnElsewhere({ view, frame }) {
    if (view === this.host.link.view) return;
    this.rasters.delete(frame);
    this.done = this.done.filter((entry) => entry.frame !== frame);
    this.undone = this.undone.filter((entry) => entry.frame !== frame);
    if (this.shown === frame) this.shown = null;
    this.paint();
  }

  /** Tell Python what is drawn. */
  push() {
    if (!this.raster) return;
    const { shown, objects, raster } = this;
    this.sent = this.host.ask("drawn", { frame: shown, names: objects.names }, [raster.ids.slice().buffer]);
  }

  forget() {
    this.hints = NO_HINTS;
    this.draw();
  }

  async fromRun() {
    const answer = await this.host.ask("mask", { run: this.host.run, frame: this.shown });
    const ids = answer && numbers(answer.buffers[0], Uint8Array);
    if (!ids || !ids.length) return;
    this.change((raster) => raster.all(ids), NO_HINTS);
    this.objects.know(this.objects.names, ids);
  }

  /** The frame's mask, to be corrected: that of the run where nothing is drawn yet. */
  async correct() {
    await this.load(this.host.frame);
    if (this.raster?.empty) await this.fromRun();
    this.open();
  }

  /** Segment from what was drawn since the last time; from all that is drawn where nothing was. */
  async segment() {
    await this.sent;
    const { frames } = await this.host.ask("drawing", { frame: this.shown });
    const wanted = this.fresh.size ? frames.filter((frame) => this.fresh.has(frame)) : frames;
    if (!wanted.length) {
      this.note.textContent = "Draw an object first.";
      return;
    }
    for (const frame of wanted) await this.keep(frame);
    const answer = await this.host.ask("segment", { run: this.host.run, frames: wanted }, wanted.map((frame) => this.rasters.get(frame).ids.slice().buffer));
    if (!answer) return;
    this.fresh.clear();
    this.note.textContent = "";
    this.host.setRuns(answer);
    this.host.choose(answer.made);
  }

  key(event) {
    const { target } = event;
    if (this.root.hidden || !this.root.isConnected) return;
    if (target.isContentEditable || target.tagName === "TEXTAREA" || (target.tagName === "INPUT" && target.type === "text")) return;
    const letter = event.key.toLowerCase();
    const control = event.ctrlKey || event.metaKey;
    if (control && letter === "z") event.shiftKey ? this.redo() : this.undo();
    else if (control && letter === "y") this.redo();
    else if (control && letter === "s") this.saving.save("save_mask");
    else if (control || event.altKey) return;
    else if (event.key === "Enter" && this.points.length > 2) this.closePolygon();
    else if (event.key === "Escape" && this.points.length) this.take("polygon");
    else if (event.key === " " && (target === this.canvas || (this.lens.over && !PRESSED.has(target.tagName)))) this.lens.space = true;
    else if (event.key === "[" || event.key === "]") this.widen(event.key === "]" ? 1.25 : 0.8);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  widen(factor) {
    const now = Number(this.width.value);
    this.width.value = factor > 1 ? Math.max(now + 1, Math.round(now * factor)) : Math.min(now - 1, Math.round(now * factor));
    this.draw();
  }

  refresh() {
    if (this.raster) this.layer.paint(this.raster);
    this.draw();
  }

  draw() {
    this.undoButton.disabled = !this.done.length;
    this.redoButton.disabled = !this.undone.length;
    if (this.root.hidden || !this.raster || !this.picture) return;
    const { context, unit } = this.lens.context();
    context.drawImage(this.picture, 0, 0, this.lens.width, this.lens.height);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.layer.canvas, 0, 0);
    drawMarks(context, unit, this);
  }
}
