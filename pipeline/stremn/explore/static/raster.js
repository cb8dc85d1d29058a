// Object ids of one frame, and what paints them. Each change can be undone: what it touched is kept.

class Raster {
  constructor(width, height, ids) {
    Object.assign(this, { width, height });
    this.ids = ids && ids.length === width * height ? ids : new Uint8Array(width * height);
    this.before = this.touched = null;
  }

  get empty() {
    return !this.ids.some((id) => id);
  }

  begin() {
    this.before = this.ids.slice();
    this.touched = null;
  }

  /** The end of a change: the rectangle that it touched, before and after; null where nothing changed. */
  end() {
    const { touched, before } = this;
    this.before = null;
    if (!touched || !before) return null;
    const change = { ...touched, before: this.part(before, touched), after: this.part(this.ids, touched) };
    return change.before.every((id, n) => id === change.after[n]) ? null : change;
  }

  part(ids, { left, top, right, bottom }) {
    const out = new Uint8Array((right - left) * (bottom - top));
    for (let y = top; y < bottom; y++) out.set(ids.subarray(y * this.width + left, y * this.width + right), (y - top) * (right - left));
    return out;
  }

  /** Back to how it was "before", or on to "after". */
  put(change, when) {
    const { left, top, right, bottom } = change;
    const wide = right - left;
    for (let y = top; y < bottom; y++) this.ids.set(change[when].subarray((y - top) * wide, (y - top + 1) * wide), y * this.width + left);
    this.touch(left, top, right, bottom);
  }

  touch(left, top, right, bottom) {
    const t = this.touched ?? { left, top, right, bottom };
    this.touched = { left: Math.min(t.left, left), top: Math.min(t.top, top), right: Math.max(t.right, right), bottom: Math.max(t.bottom, bottom) };
  }

  /** The pixels of a row whose middles lie from `from` to `to`. */
  span(y, from, to, id) {
    const [left, right] = [Math.max(0, Math.ceil(from - 0.5)), Math.min(this.width, Math.floor(to - 0.5) + 1)];
    if (y < 0 || y >= this.height || left >= right) return;
    this.ids.fill(id, y * this.width + left, y * this.width + right);
    this.touch(left, y, right, y + 1);
  }

  disc(x, y, radius, id) {
    for (let row = Math.floor(y - radius); row <= y + radius; row++) {
      const half = radius ** 2 - (row + 0.5 - y) ** 2;
      if (half >= 0) this.span(row, x - Math.sqrt(half), x + Math.sqrt(half), id);
    }
  }

  stroke(from, to, radius, id) {
    const steps = Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / Math.max(0.5, radius / 2)) + 1;
    for (let n = 0; n <= steps; n++) this.disc(from.x + ((to.x - from.x) * n) / steps, from.y + ((to.y - from.y) * n) / steps, radius, id);
  }

  /** A polygon's inside, by the even-odd rule. */
  polygon(points, id) {
    const rows = points.map(({ y }) => y);
    for (let y = Math.max(0, Math.floor(Math.min(...rows))); y <= Math.min(this.height - 1, Math.max(...rows)); y++) {
      const cuts = [];
      points.forEach((a, n) => {
        const b = points[(n + 1) % points.length];
        if (a.y > y + 0.5 !== b.y > y + 0.5) cuts.push(a.x + ((y + 0.5 - a.y) / (b.y - a.y)) * (b.x - a.x));
      });
      cuts.sort((a, b) => a - b);
      for (let n = 0; n + 1 < cuts.length; n += 2) this.span(y, cuts[n], cuts[n + 1], id);
    }
  }

  /** The connected region of one id under the pixel becomes another. */
  flood(x, y, id) {
    const { ids, width, height } = this;
    const from = ids[y * width + x];
    if (from === undefined || from === id) return;
    const todo = [y * width + x];
    while (todo.length) {
      const at = todo.pop();
      if (ids[at] !== from) continue;
      ids[at] = id;
      const column = at % width;
      if (column > 0) todo.push(at - 1);
      if (column < width - 1) todo.push(at + 1);
      if (at >= width) todo.push(at - width);
      if (at < width * (height - 1)) todo.push(at + width);
    }
    this.touch(0, 0, width, height);
  }

  /** An object becomes what a mask says; other objects stay. */
  replace(mask, id) {
    mask.forEach((inside, n) => {
      if (inside ? this.ids[n] === 0 : this.ids[n] === id) this.ids[n] = inside ? id : 0;
    });
    this.touch(0, 0, this.width, this.height);
  }

  all(ids) {
    this.ids.set(ids);
    this.touch(0, 0, this.width, this.height);
  }
}

/** A raster in colour, on a canvas of its size; only what was touched is painted again. */
class Layer {
  constructor(colours) {
    this.colours = colours.map((colour) => Number.parseInt(colour.slice(1), 16));
    this.canvas = document.createElement("canvas");
  }

  paint(raster, whole) {
    const { width, height, ids } = raster;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const { left, top, right, bottom } = whole || !raster.touched ? { left: 0, top: 0, right: width, bottom: height } : this.around(raster);
    const image = new ImageData(right - left, bottom - top);
    for (let y = top, n = 0; y < bottom; y++) {
      for (let x = left; x < right; x++, n += 4) {
        const at = y * width + x;
        const id = ids[at];
        if (!id) continue;
        const colour = this.colours[(id - 1) % this.colours.length];
        const edge = ids[at - 1] !== id || ids[at + 1] !== id || ids[at - width] !== id || ids[at + width] !== id;
        image.data[n] = colour >> 16;
        image.data[n + 1] = (colour >> 8) & 255;
        image.data[n + 2] = colour & 255;
        image.data[n + 3] = edge ? 255 : 140;
      }
    }
    this.canvas.getContext("2d").putImageData(image, left, top);
  }

  around({ touched, width, height }) {
    return { left: Math.max(0, touched.left - 1), top: Math.max(0, touched.top - 1), right: Math.min(width, touched.right + 1),
      bottom: Math.min(height, touched.bottom + 1) };
  }
}
