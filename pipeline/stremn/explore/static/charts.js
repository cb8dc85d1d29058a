// Curves over the frames of the video, their axes and legends.

const DASHES = [[], [6, 3], [2, 2], [8, 2, 2, 2], [10, 4], [4, 4], [1, 3], [12, 3, 3, 3]];

/** From frame numbers to pixels: frames `from`…`to` between `left` and `right`. */
class Scale {
  constructor(from, to, left, right) {
    Object.assign(this, { from, to, left, right });
  }

  x(frame) {
    return this.left + ((frame - this.from) / Math.max(1e-9, this.to - this.from)) * (this.right - this.left);
  }

  frame(x) {
    return this.from + ((x - this.left) / (this.right - this.left)) * (this.to - this.from);
  }
}

/** A curve of values in [low, 1] between `top` and `bottom`, the first of them at frame `from`; NaN makes a gap. */
function curve(context, scale, values, top, bottom, { colour, width = 1.5, dash = [], low = 0, from = 0 }) {
  context.save();
  context.beginPath();
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  const first = Math.max(0, Math.floor(scale.from - from) - 1);
  const last = Math.min(values.length - 1, Math.ceil(scale.to - from) + 1);
  const step = Math.max(1, Math.floor((last - first) / (2 * (scale.right - scale.left))));
  let open = false;
  for (let t = first; t <= last; t += step) {
    const value = (values[t] - low) / (1 - low);
    if (!Number.isFinite(value)) {
      open = false;
      continue;
    }
    const [x, y] = [scale.x(from + t + 0.5), bottom - value * (bottom - top)];
    if (open) context.lineTo(x, y);
    else context.moveTo(x, y);
    open = true;
  }
  context.stroke();
  context.restore();
}

/** Lines with their numbers: pairs of a share of the height and a text. */
function axis(context, scale, top, bottom, ticks, ink) {
  context.font = "11px sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const [share, text] of ticks) {
    const y = bottom - share * (bottom - top);
    context.fillStyle = "#e3e3e3";
    context.fillRect(scale.left, Math.round(y), scale.right - scale.left, 1);
    context.fillStyle = ink;
    context.fillText(text, scale.left - 6, y);
  }
}

/** Axis of J from `low` to 1. */
function axisOfJ(context, scale, top, bottom, ink, low = 0) {
  axis(context, scale, top, bottom, [0, 0.5, 1].map((s) => [s, String(Number((low + s * (1 - low)).toFixed(2)))]), ink);
}

/** Numbers of frames below everything, at round steps. */
function axisOfFrames(context, scale, y, ink) {
  const room = Math.max(1, Math.floor((scale.right - scale.left) / 70));
  const rough = (scale.to - scale.from) / room;
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const step = Math.max(1, [1, 2, 5, 10].map((m) => m * power).find((m) => m >= rough) || 1);
  label(context, "frame", 4, y + 3, ink);
  context.textAlign = "center";
  for (let t = Math.ceil(scale.from / step) * step; t < scale.to; t += step) {
    context.fillText(String(t), scale.x(t + 0.5), y + 3);
    context.fillRect(Math.round(scale.x(t + 0.5)), y, 1, 3);
  }
}

/** A small text, its upper left corner at (x, y). */
function label(context, text, x, y, ink) {
  context.fillStyle = ink;
  context.font = "11px sans-serif";
  context.textAlign = "left";
  context.textBaseline = "top";
  context.fillText(text, x, y);
}

/** The line at the frame that is shown. */
function cursor(context, scale, frame, top, bottom, ink) {
  const x = scale.x(frame + 0.5);
  if (x < scale.left || x > scale.right) return;
  context.fillStyle = ink;
  context.fillRect(x - 0.75, top - 6, 1.5, bottom - top + 6);
  context.beginPath();
  context.arc(x, top - 7, 4.5, 0, 7);
  context.fill();
}

const legendKey = (style, text) => el("span", { class: "key" }, el("i", { style }), text);

/** A bar of the colour map, from its lowest to its highest. */
function colourBar(map) {
  const stops = [0, 64, 128, 192, 255].map((n) => `rgb(${map.slice(3 * n, 3 * n + 3).join(",")})`);
  return el("i", { class: "colour-bar", style: `background:linear-gradient(90deg,${stops.join(",")})` });
}
