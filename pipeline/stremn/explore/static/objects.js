// The objects that can be drawn: their colours, their names, which one is meant.

const MOST_OBJECTS = 254;

class Objects {
  constructor(colours, changed) {
    Object.assign(this, { colours, changed, names: {}, count: 1, chosen: 1 });
    this.list = el("div", { class: "objects", role: "group", "aria-label": "object to draw" });
    this.root = el("div", { class: "row" }, "object ", this.list,
      el("button", { type: "button", "data-do": "add object", onclick: () => this.add() }, "another object"));
    this.fill();
  }

  colour(id) {
    return this.colours[(id - 1) % this.colours.length];
  }

  /** As many objects as are known by name or drawn. */
  know(names, ids) {
    this.names = { ...names };
    let most = Math.max(1, this.count, ...Object.keys(this.names).map(Number));
    for (const id of ids) if (id > most) most = id;
    this.count = most;
    this.fill();
  }

  add() {
    this.count = Math.min(MOST_OBJECTS, this.count + 1);
    this.choose(this.count);
    this.list.lastElementChild.querySelector("input").focus({ preventScroll: true });
  }

  choose(id) {
    if (id < 1 || id > this.count) return;
    this.chosen = id;
    this.fill();
    this.changed(false);
  }

  fill() {
    const one = (id) => el("span", { class: "object-choice" },
      el("button", { type: "button", "data-object": id, "aria-pressed": String(id === this.chosen), "aria-label": `draw object ${id}`,
        onclick: () => this.choose(id) }, el("i", { class: "swatch", style: `background:${this.colour(id)}` }), ` ${id}`),
      el("input", { type: "text", size: 9, maxlength: 60, placeholder: "name", value: this.names[id] ?? "", "aria-label": `name of object ${id}`,
        onchange: (event) => this.name(id, event.target.value.trim()) }));
    this.list.replaceChildren(...Array.from({ length: this.count }, (_, n) => one(n + 1)));
  }

  name(id, name) {
    if (name) this.names[id] = name;
    else delete this.names[id];
    this.changed(true);
  }
}
