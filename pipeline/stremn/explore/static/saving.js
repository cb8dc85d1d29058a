// Files from the page: the drawn masks, the frame as a picture. Nothing is replaced without a yes.

class Saving {
  constructor(draw) {
    this.draw = draw;
    this.file = el("input", { type: "text", size: 26, "aria-label": "file for the mask", spellcheck: "false" });
    const button = (name, text, title, work, kind) => el("button", { type: "button", "data-do": name, title, class: kind ?? "", onclick: work }, text);
    this.question = el("p", { class: "row", role: "alert", hidden: true });
    this.command = el("code", { class: "mask-command", tabindex: 0, "aria-label": "the same on the command line" });
    this.told = el("p", { class: "row", "aria-live": "polite", hidden: true }, this.files = el("span", {}), this.command,
      this.copied = button("copy", "copy", "copy the command", () => this.copy()));
    this.root = el("div", {}, el("div", { class: "row" }, el("label", {}, "mask file ", this.file),
      button("save mask", "save mask", "write the mask as PNG (Ctrl+S)", () => this.save("save_mask"), draw.host.segments ? "" : "primary"),
      button("save frame", "save frame", "write this frame as PNG", () => this.save("save_frame"))), this.question, this.told);
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target === this.file) this.save("save_mask");
    });
  }

  async save(what, replace = false) {
    this.question.hidden = true;
    this.told.hidden = true;
    await this.draw.sent;
    const answer = await this.draw.host.ask(what, { file: this.file.value, frame: this.draw.host.frame, replace });
    if (!answer) return;
    if (answer.exists) {
      this.ask(what, answer.exists);
      return;
    }
    this.files.textContent = `written: ${answer.files.join(", ")}`;
    this.command.textContent = answer.command ?? "";
    this.command.hidden = this.copied.hidden = !answer.command;
    this.copied.textContent = "copy";
    this.told.hidden = false;
  }

  ask(what, names) {
    const choice = (text, work) => el("button", { type: "button", "data-do": text, onclick: work }, text);
    const no = choice("keep", () => { this.question.hidden = true; });
    this.question.replaceChildren(`${names.join(", ")} ${names.length > 1 ? "exist" : "exists"} already.`,
      choice("replace", () => this.save(what, true)), no);
    this.question.hidden = false;
    no.focus();
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.command.textContent);
      this.copied.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(this.command);
      this.copied.textContent = "selected: Ctrl+C copies";
    }
  }
}
