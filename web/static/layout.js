// Given the shapes of pictures, in which rows do they lie? No row is ragged and
// no picture is cut: among all ways to break them into rows, the one whose rows
// are closest to the height that was wished for.

/**
 * `shapes` are widths for a height of 1. All rows are `width` wide, but the last
 * one of all (`last`) stays as high as the wish if it has not enough to fill it.
 * Returns {rows: [{from, to, height}], height}; each row is `below` higher for
 * what is written under the pictures, and `gap` apart from the next.
 */
export function breakRows(shapes, { width, wish, gap, below, last }) {
  const n = shapes.length;
  const cost = new Float64Array(n + 1).fill(Infinity);
  const start = new Int32Array(n + 1);
  const heights = new Float64Array(n + 1);
  cost[0] = 0;
  for (let to = 1; to <= n; to += 1) {
    let sum = 0;
    for (let from = to - 1; from >= 0; from -= 1) {
      sum += shapes[from];
      let height = (width - gap * (to - from - 1)) / sum;
      let off = (height - wish) / wish;
      // Too low costs more than too high: small pictures show less.
      let price = off < 0 ? 2.5 * off * off : off * off;
      if (last && to === n && height > wish * 1.2) [height, price] = [wish, 0.05];
      if (cost[from] + price < cost[to]) {
        cost[to] = cost[from] + price;
        start[to] = from;
        heights[to] = Math.min(height, wish * 2.2);
      }
      if (height < wish * 0.5) break;
    }
  }
  const rows = [];
  for (let to = n; to > 0; to = start[to]) rows.push({ from: start[to], to, height: Math.floor(heights[to]) });
  rows.reverse();
  let top = 0;
  for (const row of rows) {
    row.top = top;
    top += row.height + below + gap;
  }
  return { rows, height: top };
}

/** How high `n` pictures of this mean shape will be, roughly. */
export function guessHeight(n, shape, { width, wish, gap, below }) {
  const perRow = Math.max(1, (width + gap) / (shape * wish + gap));
  return Math.ceil(n / perRow) * (wish + below + gap);
}

/** Where each picture of a row lies: its left edges and widths, in whole pixels. */
export function placeRow(row, shapes, { width, gap, full }) {
  const places = [];
  let x = 0;
  for (let at = row.from; at < row.to; at += 1) {
    const to = x + shapes[at] * row.height;
    const left = Math.round(x);
    let right = Math.round(to);
    // Heights are whole: the last one takes the pixels that are left over.
    if (at === row.to - 1 && full && right > width - row.height * 0.25) right = width;
    places.push({ left, width: right - left });
    x = to + gap;
  }
  return places;
}
