// Curves over the frames of the video.

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

/** A curve of values in [0, 1] between `top` and `bottom`; NaN makes a gap. Long ones: the range per pixel. */
function curve(context, scale, values, top, bottom, { colour, width = 1.5, dash = [] }) {
  context.save();
  context.beginPath();
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  const first = Math.max(0, Math.floor(scale.from) - 1);
  const last = Math.min(values.length - 1, Math.ceil(scale.to) + 1);
  const step = Math.max(1, Math.floor((last - first) / (2 * (scale.right - scale.left))));
  let open = false;
  for (let t = first; t <= last; t += step) {
    const value = values[t];
    if (!Number.isFinite(value)) {
      open = false;
      continue;
    }
    const [x, y] = [scale.x(t + 0.5), bottom - value * (bottom - top)];
    if (open) context.lineTo(x, y);
    else context.moveTo(x, y);
    open = true;
  }
  context.stroke();
  context.restore();
}

/** Axis of J: lines and numbers at 0, 0.5 and 1. */
function axisOfJ(context, scale, top, bottom, ink) {
  context.font = "11px sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of [0, 0.5, 1]) {
    const y = bottom - value * (bottom - top);
    context.fillStyle = "#e3e3e3";
    context.fillRect(scale.left, Math.round(y), scale.right - scale.left, 1);
    context.fillStyle = ink;
    context.fillText(String(value), scale.left - 6, y);
  }
}

/** Numbers of frames below everything, at round steps. */
function axisOfFrames(context, scale, y, ink) {
  const room = Math.max(1, Math.floor((scale.right - scale.left) / 70));
  const rough = (scale.to - scale.from) / room;
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const step = Math.max(1, [1, 2, 5, 10].map((m) => m * power).find((m) => m >= rough) || 1);
  context.font = "11px sans-serif";
  context.fillStyle = ink;
  context.textAlign = "center";
  context.textBaseline = "top";
  for (let t = Math.ceil(scale.from / step) * step; t < scale.to; t += step) {
    context.fillText(String(t), scale.x(t + 0.5), y + 3);
    context.fillRect(Math.round(scale.x(t + 0.5)), y, 1, 3);
  }
}
