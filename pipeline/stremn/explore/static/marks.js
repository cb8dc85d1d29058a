// What the canvas shows beside frame and mask.

/** Corners, a box that is dragged, clicks of a guess, the brush. */
function drawMarks(context, unit, { points, from, to, hints, cursor, tool, radius }) {
  const outlined = (dashed) => {
    for (const [colour, width] of [["#000", 3], ["#fff", 1.5]]) {
      context.setLineDash(dashed ? [6 / unit, 4 / unit] : []);
      context.strokeStyle = colour;
      context.lineWidth = width / unit;
      context.stroke();
    }
    context.setLineDash([]);
  };
  context.beginPath();
  points.forEach(({ x, y }) => context.lineTo(x, y));
  if (points.length && cursor) context.lineTo(cursor.x, cursor.y);
  outlined();
  for (const { x, y } of points) {
    context.fillStyle = "#000";
    context.fillRect(x - 4 / unit, y - 4 / unit, 8 / unit, 8 / unit);
    context.fillStyle = "#fff";
    context.fillRect(x - 2.5 / unit, y - 2.5 / unit, 5 / unit, 5 / unit);
  }
  const box = from ? [from.x, from.y, to.x, to.y] : hints.box;
  if (box) {
    context.beginPath();
    context.rect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    outlined(true);
  }
  for (const [clicks, colour, plus] of [[hints.inside, "#009e73", true], [hints.outside, "#d55e00", false]]) {
    for (const { x, y } of clicks) {
      context.beginPath();
      context.arc(x, y, 7 / unit, 0, 7);
      context.fillStyle = colour;
      context.fill();
      context.fillStyle = "#fff";
      context.fillRect(x - 4 / unit, y - 1 / unit, 8 / unit, 2 / unit);
      if (plus) context.fillRect(x - 1 / unit, y - 4 / unit, 2 / unit, 8 / unit);
    }
  }
  if (cursor && (tool === "brush" || tool === "erase")) {
    context.beginPath();
    context.arc(cursor.x, cursor.y, radius, 0, 7);
    outlined();
  }
}
