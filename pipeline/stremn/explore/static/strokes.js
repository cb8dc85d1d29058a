// What pointers do to the mask: strokes, polygons, boxes, guesses; and how it is undone.

const MOST_CHANGES = 60;
const NO_HINTS = { box: null, inside: [], outside: [] };

/** `Draw` without its controls. `host` shows one frame: link, about, frame, ask(), show(). */
class Strokes {
  constructor(host) {
    Object.assign(this, { host, rasters: new Map(), done: [], undone: [], names: {}, fresh: new Set(), tool: "brush", points: [],
      hints: NO_HINTS, asked: null, from: null, last: null, cursor: null, shown: null, picture: null, sent: null });
    this.guesses = new Latest((hints) => this.guess(hints));
  }

  get raster() {
    return this.rasters.get(this.shown);
  }

  change(work, hints = this.hints) {
    if (!this.raster) return;
    this.raster.begin();
    work(this.raster);
    this.finish(hints);
  }

  finish(hints = this.hints) {
    const change = this.raster.end();
    if (change) {
      this.done.push({ frame: this.shown, change, before: this.hints, after: hints });
      if (this.done.length > MOST_CHANGES) this.done.shift();
      this.undone = [];
      this.note.textContent = "";
      this.fresh.add(this.shown);
      this.push();
    }
    this.hints = hints;
    this.refresh();
  }

  /** The last change; while something is drawn, the last corner, or what is drawn. */
  undo() {
    if (this.points.length) {
      this.points.pop();
      this.draw();
    } else if (this.last || this.from) this.cancel();
    else this.back(this.done, this.undone, "before");
  }

  redo() {
    if (!this.points.length && !this.last && !this.from) this.back(this.undone, this.done, "after");
  }

  back(from, to, when) {
    const entry = from.pop();
    if (!entry) return;
    to.push(entry);
    const raster = this.rasters.get(entry.frame);
    raster.put(entry.change, when);
    if (entry.frame !== this.shown) this.host.show(entry.frame);
    else this.hints = entry[when];
    this.fresh.add(entry.frame);
    this.sent = this.host.ask("drawn", { frame: entry.frame, names: this.names }, [raster.ids.slice().buffer]);
    this.refresh();
  }

  get radius() {
    return Number(this.width.value) / 2;
  }

  down(point, event) {
    if (!this.raster) return;
    const { tool, points } = this;
    const other = event.button === 2;
    if (tool === "polygon") {
      const near = 10 / (this.lens.size().scale * this.lens.zoom);
      if (points.length > 2 && Math.hypot(point.x - points[0].x, point.y - points[0].y) < near) this.closePolygon();
      else points.push(point);
    } else if (tool === "fill") this.change((raster) => raster.flood(Math.floor(point.x), Math.floor(point.y), this.objects.chosen));
    else if (tool === "not this" || (tool === "guess" && other)) this.click("outside", point);
    else if (tool === "box" || tool === "guess") Object.assign(this, { from: point, to: point });
    else {
      this.id = tool === "erase" || other || event.buttons & 32 ? 0 : this.objects.chosen;
      this.raster.begin();
      this.last = point;
      this.move(point);
      return;
    }
    this.draw();
  }

  move(point) {
    if (this.from) this.to = point;
    if (this.last) {
      this.raster.stroke(this.last, point, this.radius, this.id);
      this.last = point;
      this.layer.paint(this.raster);
    }
    this.draw();
  }

  up() {
    const { from, to, tool } = this;
    this.from = null;
    if (this.last) {
      this.last = null;
      this.finish();
    } else if (from && Math.hypot(to.x - from.x, to.y - from.y) * this.lens.size().scale * this.lens.zoom > 4) {
      const box = [Math.min(from.x, to.x), Math.min(from.y, to.y), Math.max(from.x, to.x), Math.max(from.y, to.y)];
      if (tool === "guess") this.hint({ ...NO_HINTS, box });
      else this.change((raster) => { for (let y = Math.round(box[1]); y < box[3]; y++) raster.span(y, box[0], box[2], this.objects.chosen); });
    } else if (from && tool === "guess") this.click("inside", from);
    this.draw();
  }

  /** A stroke that is taken back before its end. */
  cancel() {
    Object.assign(this, { from: null, last: null });
    const change = this.raster?.end();
    if (change) this.raster.put(change, "before");
    this.refresh();
  }

  closePolygon() {
    const points = this.points;
    this.points = [];
    this.change((raster) => raster.polygon(points, this.objects.chosen));
  }

  /** Clicks may come faster than guesses: the next ones go on from those that wait. */
  click(where, point) {
    const known = this.asked ?? this.hints;
    this.hint({ ...known, [where]: [...known[where], point] });
  }

  hint(hints) {
    this.asked = hints;
    this.guesses.want(hints);
  }

  async guess(hints) {
    await this.guessed(hints);
    if (this.asked === hints) this.asked = null;
  }

  async guessed(hints) {
    if (!hints.box && !hints.inside.length) {
      this.note.textContent = "First drag a box around the object, or click on it, with “guess”.";
      return;
    }
    this.note.textContent = "guessing …";
    const [frame, id] = [this.shown, this.objects.chosen];
    const flat = (points) => points.map(({ x, y }) => [x, y]);
    const answer = await this.host.ask("guess", { frame, box: hints.box, inside: flat(hints.inside), outside: flat(hints.outside) });
    this.note.textContent = "";
    if (!answer || this.shown !== frame || this.objects.chosen !== id) return;
    const mask = numbers(answer.buffers[0], Uint8Array);
    this.change((raster) => raster.replace(mask, id), hints);
    this.note.textContent = mask.some((inside) => inside)
      ? "A guess: click again on what is missing, use “not this” on what is too much, or paint."
      : "Nothing found: draw a larger box, or paint.";
    this.root.dataset.guessed = this.done.length;
  }
}
