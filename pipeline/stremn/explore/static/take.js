// A run is taken along: masks, videos, trace, settings, and the command that does the same.

const OUTPUTS = { masks: "masks (object ids, PNG)", binary: "black-and-white masks", overlay: "overlay video", matte: "mattes (PNG)",
  "matte-video": "matte video", cutout: "cut-outs (PNG with alpha)", "side-by-side": "side-by-side video" };

class Take {
  constructor(app) {
    this.app = app;
    this.kinds = el("div", { class: "choices", role: "group", "aria-label": "what is taken along" },
      ...Object.entries(OUTPUTS).map(([kind, text]) => el("label", { class: "toggle" },
        el("input", { type: "checkbox", "data-kind": kind, checked: kind === "masks" || kind === "overlay", onchange: () => this.update() }), text)));
    this.name = el("input", { type: "text", class: "name", "aria-label": "folder for the results", onchange: () => { this.named = true; this.update(); } });
    this.below = el("span", { class: "note" });
    this.of = el("strong", {});
    this.outcome = el("p", { class: "result", "aria-live": "polite" });
    this.command = el("pre", { class: "command", tabindex: 0 });
    this.why = el("p", { class: "note" });
    this.copyButton = el("button", { type: "button", onclick: () => this.copy() }, "copy");
    const button = (name, text, title, download) => el("button", { type: "button", class: download ? "" : "primary", "data-do": name, title,
      onclick: () => this.save(download) }, text);
    this.root = el("div", { class: "panel", "data-panel": "take", hidden: true },
      el("p", {}, "What this run has, to keep: ", this.of, ". The trace, the settings and the given masks are always with it."),
      this.kinds,
      el("div", { class: "row" }, el("label", {}, "folder ", this.name), this.below,
        button("save", "save there", "write the folder on this computer", false),
        button("download", "download a ZIP", "the same as one file, through the browser", true)),
      this.outcome,
      el("h3", {}, "The same from the command line ", this.copyButton), this.command, this.why);
  }

  chosen() {
    const boxes = [...this.kinds.querySelectorAll("input")];
    return boxes.filter((box) => box.checked && !box.disabled).map((box) => box.dataset.kind);
  }

  /** The command follows what is chosen. */
  async update() {
    const { app } = this;
    if (this.root.hidden || !app.runs.length) return;
    if (this.run !== app.run) this.named = false;
    this.run = app.run;
    const answer = await app.ask("export", { run: app.run, name: this.named ? this.name.value : null, kinds: this.chosen() });
    if (!answer) return;
    this.of.textContent = app.runs[app.run].name;
    this.name.value = answer.name;
    this.below.textContent = `in ${answer.folder}`;
    for (const box of this.kinds.querySelectorAll("input")) box.disabled = !answer.kinds.includes(box.dataset.kind);
    this.command.textContent = answer.command ?? "";
    this.command.hidden = this.copyButton.hidden = !answer.command;
    this.why.textContent = answer.why ?? "Save first: the given masks of the command lie in that folder then. Masks are equal, byte for byte.";
  }

  async save(download) {
    const { app } = this;
    if (!app.runs.length) return;
    const answer = await app.ask("save", { run: app.run, name: this.name.value, kinds: this.chosen(), download });
    this.outcome.textContent = answer ? "Writing …" : app.controls.status.textContent;
  }

  /** How far it is; an archive is fetched in parts when it is made. */
  async told(message) {
    if (message.for !== this.app.link.view) return;
    if (message.problem) this.app.say(message.problem, true);
    if (!message.finished) this.outcome.textContent = `Writing frame ${message.written} of ${message.of} …`;
    else if (message.problem) this.outcome.textContent = "Nothing was saved.";
    else if (message.path) {
      this.outcome.textContent = `Saved in ${message.path}`;
      this.why.textContent = "Its masks and those of the command are equal, byte for byte.";
    } else await this.fetch(message);
    if (message.finished) this.root.dataset.saved = message.path ?? message.file ?? "";
  }

  async fetch({ size, file, archive }) {
    const parts = [];
    for (let start = 0; start < size;) {
      const answer = await this.app.ask("part", { archive, start });
      const bytes = numbers(answer?.buffers[0], Uint8Array);
      if (!bytes.length) {
        this.outcome.textContent = "Nothing was downloaded.";
        return;
      }
      parts.push(bytes);
      start += bytes.length;
      this.outcome.textContent = `Downloading: ${percent(start / size)} …`;
    }
    const url = URL.createObjectURL(new Blob(parts, { type: "application/zip" }));
    el("a", { href: url, download: file }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    this.outcome.textContent = `Downloaded as ${file}`;
  }

  async copy() {
    getSelection().selectAllChildren(this.command);
    try {
      await navigator.clipboard.writeText(this.command.textContent);
      this.copyButton.textContent = "copied";
    } catch {
      this.copyButton.textContent = "selected: press Ctrl+C";
    }
    setTimeout(() => { this.copyButton.textContent = "copy"; }, 2000);
  }
}
