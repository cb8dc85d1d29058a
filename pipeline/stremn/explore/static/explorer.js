// The explorer: what is shown, and how its parts hang together.

class App {
  constructor(model) {
    this.link = new Link(model);
    this.frame = 0;
    this.run = 0;
    this.beside = null;
    this.pixel = null;
    this.shows = { mask: true, truth: false, heat: true, whole: false, own: false };
    this.runs = [];
    this.details = new Map();
    this.thumbs = new Cache(600);
    this.seen = new Cache(120);
    this.wish = new Latest((wish) => this.load(wish));
    this.fetch = new Latest(() => this.loadDetails());
    this.build();
    this.link.on("progress", (message) => this.progress(message));
    this.link.on("export", (message) => this.take.told(message));
  }

  build() {
    this.stage = new Stage(this, "frame");
    this.other = new Stage(this, "beside");
    this.slots = new Slots(this, { actions: true });
    this.otherSlots = new Slots(this, { actions: false });
    this.timeline = new Timeline(this);
    this.whatif = new WhatIf(this);
    this.race = new Race(this);
    this.draw = new Draw(this, { segments: true });
    this.take = new Take(this);
    this.prediction = new Prediction(this);
    this.controls = new Controls(this);
    this.opening = new Opening(this);
    this.help = new Help();
    this.tour = new Tour(this);
    this.panels = { whatif: this.whatif, race: this.race, draw: this.draw, take: this.take, prediction: this.prediction };
    const names = { whatif: "What if", race: "Race", draw: "Draw a mask", take: "Take along", prediction: "Prediction" };
    this.tabs = Object.entries(names).map(([name, text]) => el("button", { type: "button", role: "tab", "data-tab": name,
      "aria-selected": String(name === "whatif"), onclick: () => this.tab(name) }, text));
    this.root = el("div", { class: "stremn-explorer", tabindex: -1, "data-lm-suppress-shortcuts": "true" },
      this.tour.offer, this.controls.header, this.opening.root, this.help.root, this.controls.root,
      el("div", { class: "main" },
        el("div", { class: "side" }, this.stage.root, this.slots.root),
        this.besideBox = el("div", { class: "side beside", hidden: true }, this.other.root, this.otherSlots.root)),
      this.timeline.root,
      this.tablist = el("div", { role: "tablist", class: "tabs" }, ...this.tabs),
      ...Object.values(this.panels).map((panel) => panel.root), this.tour.root);
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.resize = new ResizeObserver(() => { if (this.about) { this.timeline.draw(); this.race.update(); this.prediction.draw(); } });
    this.resize.observe(this.timeline.root);
  }

  async start() {
    const about = await persist(() => this.ask("hello"), () => this.closed);
    if (!about) return;
    this.about = about;
    this.map = numbers(about.buffers[0], Uint8Array);
    for (const [name, colour] of Object.entries(about.colours)) this.root.style.setProperty(`--${name}`, colour);
    this.controls.truthToggle.hidden = !about.truth;
    this.tabs.find((tab) => tab.dataset.tab === "prediction").hidden = !about.predicts;
    for (const name of ["whatif", "race", "draw"]) {
      this.tabs.find((tab) => tab.dataset.tab === name).hidden = !about.has_weights;
    }
    this.whatif.about();
    this.race.about();
    this.setRuns(about);
    if (!about.can_run && about.has_weights) this.tab(about.predicts ? "prediction" : "draw");
    else if (!about.has_weights) this.tab(about.predicts ? "prediction" : null);
    await this.fetch.want(true);
    this.show(Math.min(this.frame, about.frames - 1));
    this.root.dataset.ready = "true";
  }

  /** Ask Python; what is wrong is shown in one line, and the answer is null. */
  async ask(what, content, buffers) {
    try {
      const answer = await this.link.ask(what, content, buffers);
      if (this.controls.status.classList.contains("problem")) this.say("");
      return answer;
    } catch (problem) {
      this.say(problem.message, true);
      return null;
    }
  }

  say(text, problem = false) {
    this.controls.say(text, problem);
  }

  hasJ() {
    return this.about.truth;
  }

  setRuns({ runs, busy }) {
    this.runs = runs;
    this.busy = busy;
    this.controls.setRuns(runs, this.run, this.beside, busy);
    this.race.update();
  }

  choose(run, beside = this.beside === run ? null : this.beside) {
    this.run = run;
    this.beside = beside;
    this.seen.clear();
    this.setRuns({ runs: this.runs, busy: this.busy });
    this.take.update();
    this.besideBox.hidden = beside === null;
    this.root.classList.toggle("two", beside !== null);
    this.fetch.want(true).then(() => this.show(this.frame));
    this.show(this.frame);
  }

  async change(what) {
    const answer = await this.ask("change", { run: this.run, frame: this.frame, ...what });
    if (!answer) { // told where one looks, too
      this.whatif.result.textContent = this.controls.status.textContent;
      return;
    }
    this.setRuns(answer);
    this.choose(this.run, answer.made);
  }

  /** The mask of this frame in the editor, to be corrected; from there the run goes on. */
  async correct() {
    this.controls.player.stop();
    this.tab("draw");
    await this.draw.correct();
  }

  async progress({ run, frame, finished, problem }) {
    if (!this.about) return;
    const name = this.runs[run]?.name ?? "run";
    const { frames } = this.about;
    if (problem) this.say(problem, true);
    else if (finished && frame + 1 >= frames) this.say(`${name}: done`);
    else this.say(finished ? `${name}: stopped after ${frame + 1} of ${frames} frames` : `${name}: frame ${frame + 1} of ${frames}`);
    const listed = await this.ask("runs");
    if (listed) this.setRuns(listed);
    await this.fetch.want(true);
    if (run === this.run || run === this.beside) this.show(this.frame);
  }

  /** The timelines of the runs that are shown; a long run that still goes on only now and then. */
  async loadDetails() {
    const wanted = [this.run, this.beside, ...this.race.members].filter((n) => n !== null && n < this.runs.length);
    for (const number of new Set(wanted)) {
      const known = this.details.get(number);
      const { done } = this.runs[number];
      if (known && (known.done >= done || (done < this.about.frames && done - known.done < known.done / 10))) continue;
      const answer = await this.ask("run", { run: number });
      if (answer) this.details.set(number, unpacked(answer));
    }
    this.timeline.draw();
    this.whatif.update();
    this.race.update();
  }

  async loadThumbs(run, frames) {
    const answer = await this.ask("thumbs", { run, frames });
    if (!answer) return;
    const pictures = await Promise.all(answer.buffers.map((bytes) => bitmap(bytes, "image/jpeg")));
    answer.frames.forEach((frame, n) => this.thumbs.set(`${run}:${frame}`, pictures[n]));
  }

  show(frame) {
    if (!this.about) return null;
    this.frame = Math.max(0, Math.min(this.about.frames - 1, frame));
    this.controls.where.textContent = `frame ${this.frame} of ${this.about.frames - 1}`;
    this.timeline.draw();
    return this.wish.want({ frame: this.frame });
  }

  pick(pixel) {
    this.pixel = pixel;
    this.stage.draw();
    this.other.draw();
    this.root.dataset.asked = performance.now();
    return this.wish.want({ frame: this.frame });
  }

  toggle(name, on) {
    this.shows[name] = on;
    if (name === "truth" || name === "whole") this.seen.clear();
    this.wish.want({ frame: this.frame });
  }

  /** Ask for what is visible of a frame, and draw it. */
  async load({ frame }) {
    const runs = this.beside === null ? [this.run] : [this.run, this.beside];
    const known = runs.filter((n) => n < this.runs.length);
    const name = `${frame}:${known.map((n) => [n, this.runs[n].done > frame])}:${this.shows.truth}`;
    const before = this.seen.get(name);
    const answer = await this.ask("view", { frame, runs: known, pictures: !before, truth: this.shows.truth,
      pixel: this.pixel && { ...this.pixel, whole: this.shows.whole } });
    if (!answer) return;
    const { buffers } = answer;
    const base = before || await Promise.all([bitmap(buffers[0], "image/jpeg"), bitmap(buffers[1], "image/png"),
      ...known.map((_, n) => bitmap(buffers[2 + 2 * n], "image/png"))]);
    this.seen.set(name, base);
    answer.parts.forEach((part, n) => { if (part.heat) part.heat.maps = numbers(buffers[3 + 2 * n], Float32Array); });
    const stages = [this.stage, this.other];
    const slots = [this.slots, this.otherSlots];
    const drawn = known.map((number, n) => {
      stages[n].set({ picture: base[0], truth: base[1], mask: base[2 + n], title: stageTitle(this, number, answer.parts[n], frame),
        note: givenNote(this, number, frame) });
      return slots[n].set(number, answer.parts[n], slotTitle(answer.parts[n]));
    });
    if (!known.length) this.stage.set({ picture: base[0], truth: base[1], mask: null, title: [`frame ${frame}`] });
    await Promise.all(drawn);
    this.controls.heatScale(answer.parts[0]?.heat, Number(this.slots.grid.dataset.top));
    this.whatif.update();
    this.draw.paint();
    this.controls.beat();
    this.root.dataset.shown = frame;
    this.root.dataset.redrawn = performance.now();
    this.root.dataset.pixel = this.pixel ? `${this.pixel.x},${this.pixel.y}` : "";
  }

  key(event) {
    if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName) && event.target.type !== "checkbox") return;
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };
    if (event.key in moves) this.show(this.frame + moves[event.key] * (event.shiftKey ? 10 : 1));
    else if (event.key === " " && event.target.tagName !== "BUTTON") this.controls.player.toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  tab(name) {
    for (const button of this.tabs) button.setAttribute("aria-selected", button.dataset.tab === name);
    for (const [own, panel] of Object.entries(this.panels)) panel.root.hidden = own !== name;
    if (name === "draw") this.draw.open();
    if (name === "race") this.race.update();
    if (name === "take") this.take.update();
    if (name === "prediction") this.prediction.open();
    else this.prediction.player.stop();
  }

  close() {
    this.closed = true;
    this.controls.close();
    this.draw.close();
    this.prediction.close();
    this.resize.disconnect();
    this.link.close();
  }
}

export default {
  render({ model, el: place }) {
    let app;
    const begin = () => {
      app?.close();
      app = new App(model);
      app.link.on("opened", begin);
      place.replaceChildren(app.root);
      app.start();
    };
    begin();
    return () => app.close();
  },
};
