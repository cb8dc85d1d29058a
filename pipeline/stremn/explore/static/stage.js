// A frame with its mask, in one run. Click: where does this pixel read?

class Stage {
  constructor(app, title) {
    this.app = app;
    this.title = el("figcaption", {}, title);
    this.canvas = el("canvas", { class: "stage-canvas", role: "img", "aria-label": title,
      title: "click a pixel: where does it read in the memory?" });
    this.note = el("p", { class: "note", hidden: true });
    this.root = el("figure", { class: "stage" }, this.title, this.canvas, this.note);
    this.picture = this.mask = this.truth = null;
    this.canvas.addEventListener("click", (event) => this.app.pick(this.pixel(event)));
  }

  pixel(event) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.app.about;
    const inside = (share, size) => Math.max(0, Math.min(size - 1, Math.floor(share * size)));
    return { x: inside((event.clientX - box.left) / box.width, width),
      y: inside((event.clientY - box.top) / box.height, height) };
  }

  set({ picture, mask, truth, title, note = "" }) {
    if (picture) this.picture = picture;
    this.mask = mask;
    this.truth = truth;
    this.title.replaceChildren(...title);
    this.note.textContent = note;
    this.note.hidden = !note;
    this.draw();
  }

  draw() {
    const { canvas, picture, app } = this;
    if (!picture) return;
    const zoom = Math.max(1, Math.round(480 / picture.width));
    if (canvas.width !== picture.width * zoom || canvas.height !== picture.height * zoom) {
      canvas.width = picture.width * zoom;
      canvas.height = picture.height * zoom;
    }
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    if (this.mask && app.shows.mask) context.drawImage(this.mask, 0, 0, canvas.width, canvas.height);
    if (this.truth && app.shows.truth) context.drawImage(this.truth, 0, 0, canvas.width, canvas.height);
    if (app.pixel) this.cross(context);
  }

  cross(context) {
    const { canvas, app } = this;
    const x = ((app.pixel.x + 0.5) / app.about.width) * canvas.width;
    const y = ((app.pixel.y + 0.5) / app.about.height) * canvas.height;
    const unit = canvas.width / 60;
    for (const [width, colour] of [[5, "#fff"], [2.2, "#000"]]) {
      context.beginPath();
      context.lineWidth = (width * canvas.width) / 480;
      context.strokeStyle = colour;
      context.arc(x, y, unit, 0, 7);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + dx * unit * 0.6, y + dy * unit * 0.6);
        context.lineTo(x + dx * unit * 1.7, y + dy * unit * 1.7);
      }
      context.stroke();
    }
  }
}

/** Of a frame whose mask is given: why its J may not be 1. */
function givenNote(app, number, frame) {
  if (!app.runs[number].given.includes(frame)) return "";
  const { size, height, width } = app.about;
  const small = app.hasJ() && size && size < Math.min(height, width);
  return `The mask of this frame is given.${small ? ` Its J is a little below 1: frames are processed at ${size} pixels, `
    + "and the mask is made that small and enlarged again." : ""}`;
}

/** Frame, run, and J of each object, in the object's colour. */
function stageTitle(app, number, part, frame) {
  const run = app.runs[number];
  const j = part?.step?.j || [];
  const known = (id) => j[run.objects.indexOf(id)];
  const objects = run.objects.filter((id) => !app.hasJ() || known(id) != null);
  return [el("strong", {}, `Frame ${frame}`), ` · ${run.name}`, ...objects.map((id) => el("span", { class: "object" },
    el("i", { style: `background:${app.about.objects[(id - 1) % app.about.objects.length]}` }),
    known(id) == null ? `object ${id}` : `object ${id}: J ${known(id).toFixed(2)}`))];
}
