// Curves of a run's metrics. Reads `/api/v1/runs/{id}/metrics`, draws with uPlot, and while the
// run is going looks again every two seconds.

const POINTS = 600;
const INTERVAL_MS = 2000;
const HEIGHT = 240;
const SMOOTHING = 0.9;
// More points than this are thinned out to the eye and get a trend.
const NOISY_POINTS = 60;
// No more points than this are marked one by one.
const MARKED_POINTS = 40;

const root = document.getElementById("charts");
const dark = matchMedia("(prefers-color-scheme: dark)");
const charts = [];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function formatter(kind) {
  if (kind === "percent") return (value) => `${(value * 100).toFixed(1)} %`;
  return (value) => {
    const size = Math.abs(value);
    if (size !== 0 && (size < 0.001 || size >= 10000)) return value.toExponential(1);
    return value.toFixed(size < 10 ? 3 : 1);
  };
}

// On an axis the numbers are round: no more digits than tell them apart.
function axisFormatter(kind) {
  if (kind === "percent") return (value) => `${Number((value * 100).toFixed(1))} %`;
  return (value) => String(Number(value.toPrecision(3)));
}

function steps(value) {
  return value >= 10000 ? `${(value / 1000).toFixed(0)}k` : String(value);
}

// Many noisy points: the exponential moving average (corrected for its start) shows the trend.
function smoothed(values) {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null || value === undefined) return null;
    sum = sum * SMOOTHING + value * (1 - SMOOTHING);
    weight = weight * SMOOTHING + (1 - SMOOTHING);
    return sum / weight;
  });
}

// A line needs two points; a single one is drawn as a dot.
function seriesOptions(series, count) {
  const noisy = count > NOISY_POINTS && !series.validation;
  return {
    label: series.label,
    stroke: colour(series.validation ? "--accent" : "--iron"),
    width: noisy ? 1 : 2,
    alpha: noisy ? 0.35 : 1,
    spanGaps: true,
    points: { show: count <= MARKED_POINTS, size: 5, fill: colour("--surface") },
  };
}

function trendOptions() {
  return { label: "trend", stroke: colour("--iron"), width: 2, spanGaps: true, points: { show: false } };
}

function axis(format, size) {
  return {
    stroke: colour("--ink-soft"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    size,
    values: (_, values) => values.map((value) => (value === null ? "" : format(value))),
  };
}

function yRange(kind) {
  return (_, low, high) => {
    if (low === null || high === null) return [0, 1];
    const room = Math.max((high - low) * 0.08, Math.abs(high) * 0.01, 1e-6);
    const top = kind === "percent" ? Math.min(high + room, 1.001) : high + room;
    return [low >= 0 ? Math.max(low - room, 0) : low - room, top];
  };
}

class Chart {
  constructor(card) {
    this.place = card.querySelector(".chart");
    this.kind = card.dataset.format;
    this.series = JSON.parse(card.dataset.series);
    this.outputs = [...card.querySelectorAll("output")];
    this.plot = null;
    this.data = [];
    this.counts = [];
  }

  // The series that get a trend, by number.
  noisy() {
    return this.series.flatMap((series, number) =>
      (!series.validation && this.counts[number] > NOISY_POINTS ? [number] : []));
  }

  keys() {
    return this.series.map((series) => series.key);
  }

  update(histories) {
    const found = this.series.map((series) => histories.get(series.key) ?? { steps: [], values: [] });
    const lines = found.map((history) => [history.steps, history.values]);
    this.counts = found.map((history) => history.steps.length);
    const trends = this.noisy().map((number) => [lines[number][0], smoothed(lines[number][1])]);
    this.data = uPlot.join([...lines, ...trends]);
    const filled = this.counts.some((count) => count > 0);
    const empty = this.place.querySelector(".chart-empty");
    if (empty) empty.hidden = filled;
    if (!filled) return;
    if (this.plot && this.plot.series.length === this.data.length) this.plot.setData(this.data);
    else this.draw();
    this.tell(null);
  }

  draw() {
    this.plot?.destroy();
    this.plot = new uPlot(
      {
        width: this.place.clientWidth,
        height: HEIGHT,
        padding: [8, 18, 0, 0],
        scales: { x: { time: false }, y: { range: yRange(this.kind) } },
        axes: [axis(steps, 28), axis(axisFormatter(this.kind), 54)],
        series: [
          { label: "step" },
          ...this.series.map((series, number) => seriesOptions(series, this.counts[number])),
          ...this.noisy().map(trendOptions),
        ],
        cursor: { points: { size: 7 }, y: false, drag: { x: true, y: false } },
        hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx)] },
      },
      this.data,
      this.place,
    );
  }

  // The legend says the values under the cursor, or the last ones.
  tell(index) {
    const format = formatter(this.kind);
    this.outputs.forEach((output, number) => {
      const values = this.data[number + 1] ?? [];
      const upTo = index === null || index === undefined ? values.length - 1 : index;
      let at = upTo;
      while (at >= 0 && (values[at] === null || values[at] === undefined)) at -= 1;
      output.textContent = at >= 0 ? format(values[at]) : "";
    });
  }

  resize() {
    if (this.plot) this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT });
  }
}

async function load() {
  const keys = charts.flatMap((chart) => chart.keys());
  const query = new URLSearchParams({ keys: keys.join(","), points: String(POINTS) });
  const response = await fetch(`${root.dataset.source}?${query}`);
  if (!response.ok) return;
  const body = await response.json();
  const histories = new Map(body.series.map((series) => [series.key, series]));
  for (const chart of charts) chart.update(histories);
}

async function follow() {
  // A hidden page, or a server that is away for a moment, is tried again later.
  if (!document.hidden) await load().catch(() => {});
  if (root.dataset.live === "true") setTimeout(follow, INTERVAL_MS);
}

if (root) {
  for (const card of root.querySelectorAll("[data-series]")) charts.push(new Chart(card));
  new ResizeObserver(() => charts.forEach((chart) => chart.resize())).observe(root);
  dark.addEventListener("change", () => charts.forEach((chart) => chart.plot && chart.draw()));
  follow();
}
