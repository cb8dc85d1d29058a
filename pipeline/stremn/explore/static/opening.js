// Open another video, mask or checkpoint from the page: files of the folder where the command was started, and below.

class Opening {
  constructor(app) {
    this.app = app;
    this.listed = new Latest((name) => this.list(name));
    this.files = el("datalist", { id: `files-${app.link.view}` });
    const file = (name, placeholder, title) => [name, el("input", { type: "text", list: this.files.id, name, placeholder, title, "aria-label": name, size: 24,
      spellcheck: "false", autocomplete: "off", oninput: (event) => this.complete(event.target.value), onfocus: (event) => this.complete(event.target.value) })];
    const number = (name, most, title) => [name, el("input", { type: "number", min: 1, max: most, name, title, "aria-label": name })];
    this.fields = Object.fromEntries([file("video", "a generated clip", "a video file or a folder of images"),
      file("mask", "drawn in the page", "mask of the first frame (PNG)"), file("checkpoint", "the package's", "weights (.safetensors)"),
      number("size", 4096, "shorter side in pixels at which frames are processed"), number("slots", 1000, "templates that the memory holds")]);
    this.problem = el("p", { class: "status problem", role: "alert", hidden: true });
    const form = el("form", { class: "row", onsubmit: (event) => { event.preventDefault(); this.open(); } },
      ...Object.entries(this.fields).map(([name, field]) => el("label", {}, `${name} `, field)),
      el("button", { type: "submit", class: "primary", "data-do": "open" }, "open"), this.files);
    this.root = el("details", { class: "opening", ontoggle: () => { if (this.root.open) this.fill(); } },
      el("summary", {}, "open another video …"), el("p", { class: "note" }, "Files are named from the folder where the command was started.",
        " The present runs and drawings are given up."), form, this.problem);
  }

  async fill() {
    const { app, fields } = this;
    const answer = await app.ask("opened");
    if (!answer) return;
    for (const [name, field] of Object.entries(fields)) field.value = answer.opened[name] ?? "";
    this.complete("");
  }

  complete(text) {
    const folder = text.slice(0, text.lastIndexOf("/") + 1);
    if (folder === this.folder) return;
    this.folder = folder;
    this.listed.want(folder);
  }

  async list(folder) {
    const answer = await this.app.ask("folder", { folder });
    if (answer) this.files.replaceChildren(...answer.files.map((value) => el("option", { value })));
  }

  async open() {
    const wanted = Object.fromEntries(Object.entries(this.fields).map(([name, field]) => [name, field.value.trim() || null]));
    this.problem.hidden = true;
    this.app.say("opening …");
    try {
      await this.app.link.ask("open", wanted);
    } catch (problem) {
      this.app.say("");
      this.problem.textContent = problem.message;
      this.problem.hidden = false;
    }
  }
}
