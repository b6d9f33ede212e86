// Draws the runs of an installation from the rows of their table; without it the picture in the page stays.
(function () {
  var box = document.getElementById("runs-chart"), table = document.getElementById("runs-numbers");
  if (!box || !table || !window.uPlot) { return; }
  var readout = document.querySelector(".ch-read"), idle = "Point at a bar to read its run.";
  var all = Array.prototype.map.call(table.querySelectorAll("tbody tr"), function (row) {
    return {
      at: row.dataset.at, written: Number(row.dataset.written), refused: Number(row.dataset.refused),
      state: row.dataset.state, words: row.cells[1].textContent.trim(), link: row.querySelector("a").href
    };
  }).reverse();
  var chart = null, runs = [];

  function colour(name) { return getComputedStyle(box).getPropertyValue("--pb-" + name).trim(); }
  // The next of 2, 4, 10, 20, 40, 100 ..: its half is a whole number.
  function ceiling(value) {
    for (var power = 1; ; power *= 10) {
      for (var step of [2, 4, 10]) { if (step * power >= value) { return step * power; } }
    }
  }
  function count(number) { return number.toLocaleString("en-US"); }
  function tell(index) {
    var run = index === null || index === undefined ? null : runs[index];
    readout.textContent = run
      ? run.at + ": " + run.words.toLowerCase() + ", " + count(run.written) + " written, " + count(run.refused) + " refused"
      : matchMedia("(hover: hover)").matches ? idle : "";
  }
  function markFailed(u) {
    var ratio = window.devicePixelRatio || 1, wide = Math.max(3, Math.min(20, u.bbox.width / ratio / runs.length * 0.7)) * ratio;
    u.ctx.fillStyle = colour("amber");
    runs.forEach(function (run, index) {
      if (run.state !== "failed") { return; }
      var x = u.valToPos(index, "x", true), y = u.valToPos(0, "y", true);
      u.ctx.fillRect(x - wide / 2, y - 3 * ratio, wide, 3 * ratio);
    });
  }
  function bars(label, name) {
    return {
      label: label, fill: function () { return colour(name); }, width: 0, points: { show: false },
      paths: uPlot.paths.bars({ size: [0.7, 20, 3] })
    };
  }
  function options(width, height) {
    var font = "11.5px Inter, sans-serif", ink = function () { return colour("ink-3"); };
    var line = { stroke: function () { return colour("line"); }, width: 1 };
    return {
      width: width, height: height, padding: [8, 8, 0, 0], legend: { show: false },
      cursor: { x: false, y: false, points: { show: false }, drag: { setScale: false } },
      scales: {
        x: { time: false, range: function () { return [-0.6, Math.max(runs.length, 12) - 0.4]; } },
        y: { range: function (u, low, high) { return [0, ceiling(high || 0)]; } }
      },
      axes: [
        {
          stroke: ink, font: font, size: 26, gap: 6, grid: { show: false }, ticks: { show: false }, space: 110,
          incrs: [1, 2, 3, 4, 6, 8, 12, 16, 24, 48],
          values: function (u, splits) { return splits.map(function (at) { return runs[at] ? runs[at].at : ""; }); }
        },
        {
          stroke: ink, font: font, size: 48, gap: 6, grid: line, ticks: { show: false },
          splits: function (u) { var top = u.scales.y.max; return [0, top / 2, top]; },
          values: function (u, splits) { return splits.map(count); }
        }
      ],
      series: [{}, bars("Refused", "red"), bars("Written", "accent")],
      hooks: { draw: [markFailed], setCursor: [function (u) { tell(u.cursor.left < 0 ? null : u.cursor.idx); }] }
    };
  }
  function draw() {
    var width = box.clientWidth;
    if (!width) { return; }
    // A narrow page shows the latest third; the table has them all.
    runs = width < 520 ? all.slice(-Math.max(12, Math.ceil(all.length / 3))) : all;
    var written = runs.map(function (run) { return run.written; });
    // Stacked: the red bar reaches as high as both, and the other one covers its lower part.
    var both = runs.map(function (run) { return run.written + run.refused; });
    if (chart) { chart.destroy(); }
    box.replaceChildren();
    chart = new uPlot(options(width, box.clientHeight), [runs.map(function (_, index) { return index; }), both, written], box);
    chart.over.addEventListener("click", function () {
      var run = runs[chart.cursor.idx];
      if (run) { location.href = run.link; }
    });
    tell(null);
  }
  draw();
  var known = box.clientWidth;
  new ResizeObserver(function () {
    if (box.clientWidth !== known) { known = box.clientWidth; draw(); }
  }).observe(box);
  new MutationObserver(draw)
    .observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
})();
