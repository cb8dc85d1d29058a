// A canvas that shows a picture, larger or smaller, and turns pointers into pixels of it.

const MOST_ZOOM = 40;
const TALLEST = 620;

class Lens {
  /** `tool` has down(point, event), move(point, event), up(), and cancel() for a stroke that becomes a pinch. */
  constructor(canvas, tool, draw) {
    Object.assign(this, { canvas, tool, draw, width: 1, height: 1, zoom: 1, x: 0, y: 0, pointers: new Map(), mode: null, space: false, over: false });
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.scale(1.0015 ** -event.deltaY, this.css(event)); }, { passive: false });
    canvas.addEventListener("pointerenter", () => { this.over = true; });
    canvas.addEventListener("pointerleave", () => { this.over = false; });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.up(event));
    canvas.addEventListener("auxclick", (event) => event.preventDefault());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  /** A picture of another size: all of it is shown. */
  show(width, height) {
    if (width === this.width && height === this.height) return;
    Object.assign(this, { width, height, zoom: 1, x: 0, y: 0 });
  }

  /** CSS pixels of the canvas: the picture's shape, as wide as there is room. */
  size() {
    const room = this.canvas.parentElement.clientWidth || 640;
    const scale = Math.min(room / this.width, Math.min(TALLEST, 0.75 * window.innerHeight) / this.height);
    return { wide: Math.max(1, scale * this.width), high: Math.max(1, scale * this.height), scale };
  }

  /** A context in pixels of the picture, cleared; and CSS pixels for one of them. */
  context() {
    const { wide, high, scale } = this.size();
    this.canvas.style.width = `${wide}px`;
    const context = sized(this.canvas, wide, high);
    const unit = scale * this.zoom;
    context.transform(unit, 0, 0, unit, -this.x * unit, -this.y * unit);
    context.imageSmoothingEnabled = unit < 1;
    return { context, unit };
  }

  css(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  pixel(at) {
    const unit = this.size().scale * this.zoom;
    return { x: this.x + at.x / unit, y: this.y + at.y / unit };
  }

  /** Larger by a factor, the place `at` (CSS pixels; default the middle) stays where it is. */
  scale(factor, at) {
    const { wide, high, scale } = this.size();
    const place = at ?? { x: wide / 2, y: high / 2 };
    const held = this.pixel(place);
    this.zoom = Math.max(1, Math.min(MOST_ZOOM, this.zoom * factor));
    this.hold(held, place, scale);
  }

  hold(pixel, at, scale = this.size().scale) {
    const inside = (first, size) => Math.max(0, Math.min(size - size / this.zoom, first));
    this.x = inside(pixel.x - at.x / (scale * this.zoom), this.width);
    this.y = inside(pixel.y - at.y / (scale * this.zoom), this.height);
    this.draw();
  }

  fit() {
    Object.assign(this, { zoom: 1, x: 0, y: 0 });
    this.draw();
  }

  down(event) {
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.css(event));
    if (this.pointers.size === 2) {
      if (this.mode === "tool") this.tool.cancel();
      this.mode = "pinch";
    } else if (this.pointers.size === 1) {
      this.mode = event.button === 1 || this.space ? "pan" : "tool";
      this.held = this.pixel(this.css(event));
      if (this.mode === "tool") this.tool.down(this.held, event);
    }
  }

  move(event) {
    const at = this.css(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    if (this.mode === "tool") this.tool.move(this.pixel(at), event);
    else if (this.mode === "pan") this.hold(this.held, at);
    else if (this.mode === "pinch" && this.pointers.size === 2) this.pinch(event.pointerId, before, at);
    this.pointers.set(event.pointerId, at);
  }

  pinch(id, before, at) {
    const other = [...this.pointers].find(([name]) => name !== id)[1];
    const middle = (a) => ({ x: (a.x + other.x) / 2, y: (a.y + other.y) / 2 });
    const far = (a) => Math.max(1, Math.hypot(a.x - other.x, a.y - other.y));
    const held = this.pixel(middle(before));
    this.zoom = Math.max(1, Math.min(MOST_ZOOM, (this.zoom * far(at)) / far(before)));
    this.hold(held, middle(at));
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.pointers.size) return;
    if (this.mode === "tool") this.tool.up();
    this.mode = null;
  }
}
