// Words and keys, and a tour of what is where.

const WORDS = {
  "Slot": "One of the K places of the memory. Each holds the template of one earlier frame: what the network remembers of it.",
  "Score": "How similar the incoming frame is to the template in a slot (Eq. 1 of STReMN). The learned rule evicts the template with the highest "
    + "score, the one that adds least; in brackets is the difference to it. Other rules use other scores, or none.",
  "Goes next": "This frame overwrites the template in this slot.",
  "Protected": "May not be evicted: a given mask, under rules that protect it, or a slot that you froze.",
  "Read share": "Of all the attention with which a frame reads the memory, what falls on a slot. All slots together are 100 %.",
  "Heat": "Click a pixel: where in each kept frame it reads (Fig. 5 of STM). “whole object” averages over the object under the pixel, "
    + "“own scale” shows each slot in full colour.",
  "J": "Overlap of a mask with the true one, 0 to 1; only where the truth is known.",
  "Given mask": "The first mask, one of an object that appears later, or a correction; a green diamond in the timeline.",
  "Zoom": "In the timeline: Ctrl and the wheel zoom about the pointer, Shift and the wheel move, “whole video” zooms out.",
  "Keyboard": "← → one frame, with Shift ten; Page Up and Page Down ten; Home and End the first and the last; Space plays and pauses; "
    + "Tab goes from button to button, Enter presses it.",
};

class Help {
  constructor() {
    this.root = el("section", { class: "help", hidden: true, "aria-label": "help" },
      el("dl", {}, ...Object.entries(WORDS).flatMap(([word, text]) => [el("dt", {}, word), el("dd", {}, text)])),
      el("button", { type: "button", onclick: () => this.toggle() }, "close"));
  }

  toggle() {
    this.root.hidden = !this.root.hidden;
  }
}

const SEEN = "stremn-tour=seen";

/** Whether the tour was seen; marks it so. A cookie, since the page's port is another one each time. */
function tourSeen(mark = false) {
  try {
    if (mark) document.cookie = `${SEEN}; max-age=31536000; path=/; SameSite=Strict`;
    return document.cookie.includes(SEEN);
  } catch {
    return true; // a sandboxed frame has no cookies
  }
}

class Tour {
  constructor(app) {
    this.app = app;
    this.text = el("p", {});
    this.count = el("span", { class: "note" });
    const button = (name, text, work) => el("button", { type: "button", "data-tour": name, onclick: work }, text);
    this.backButton = button("back", "back", () => this.go(this.at - 1));
    this.nextButton = button("next", "next", () => this.go(this.at + 1));
    this.root = el("div", { class: "tour", role: "dialog", "aria-label": "tour", tabindex: -1, hidden: true }, this.text,
      el("div", { class: "row" }, this.count, this.backButton, this.nextButton, button("end", "end", () => this.end())));
    this.root.addEventListener("keydown", (event) => { if (event.key === "Escape") this.end(); });
    this.offer = el("div", { class: "offer row", hidden: tourSeen() }, "New here? Five steps show what is where.",
      button("start", "start the tour", () => this.start()), button("no", "no, thanks", () => this.end()));
  }

  steps() {
    const { app } = this;
    return [
      [app.stage.root, "A frame of the video with its masks, one colour for each object. ▶ plays, the arrow keys step. "
        + "“correct this mask” lets you draw on it and go on from there."],
      [app.timeline.root, "The whole video at a glance: how good the masks are where the truth is known, which frames the memory gives up (triangles), "
        + "and the life of each slot, darker the more it is read. Click or drag to go there."],
      [app.slots.root, "The memory as this frame found it: the kept frames, their age, how much each is read and its score. "
        + "The one with the red frame goes next. The buttons ask: what if it were dropped, or kept?"],
      [app.stage.root, "Click a pixel of the frame: the pictures of the slots show where it reads."],
      [app.tablist, "What if the rule were another from here on; a race of rules; a mask to draw; and your results to take along."],
    ];
  }

  start() {
    this.offer.hidden = true;
    this.go(0);
  }

  go(at) {
    this.target?.classList.remove("toured");
    const steps = this.steps();
    if (at >= steps.length) {
      this.end();
      return;
    }
    this.at = Math.max(0, at);
    const [target, text] = steps[this.at];
    this.target = target;
    target.classList.add("toured");
    target.scrollIntoView({ block: "center" });
    this.text.textContent = text;
    this.count.textContent = `${this.at + 1} of ${steps.length}`;
    this.backButton.disabled = this.at === 0;
    this.nextButton.textContent = this.at + 1 < steps.length ? "next" : "done";
    this.root.hidden = false;
    this.root.focus({ preventScroll: true });
  }

  /** Over, and not offered again. */
  end() {
    this.target?.classList.remove("toured");
    this.root.hidden = this.offer.hidden = true;
    tourSeen(true);
  }
}
