"use strict";
// Draws the report from the blocks of data in this page. Text is only ever set as textContent.
(() => {
  const $ = (id) => document.getElementById(id);
  const SEVERITIES = ["high", "medium", "low", "info"];
  const KIND_NAMES = { code: "code", file: "file data", shared: "shared", heap: "heap", stack: "stack", anonymous: "anonymous", jit: "executable, no file", special: "special" };
  const LEFT = 132, BOTTOM = 26, TOP = 20, BAND_GAP = 6; // CSS pixels; BAND_GAP in units of the axis
  const FEWEST_NS = 200; // the closest view
  const OPEN = Number.MAX_SAFE_INTEGER; // the end of what stood to the end

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "class") made.className = value;
      else if (value !== undefined) made.setAttribute(key, value);
    }
    made.append(...children); // strings become text
    return made;
  }

  async function unpack(id) {
    const block = $(id);
    const packed = Uint8Array.from(atob(block.textContent), (char) => char.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // -- times and sizes -------------------------------------------------------------------------------------------
  const startOf = (capture) => head.captures[capture].start_x;
  function when(x, capture = 0, digits = 6) {
    const from = Math.round(x - startOf(capture));
    const whole = Math.trunc(Math.abs(from) / 1e9), rest = String(Math.abs(from) % 1e9).padStart(9, "0");
    return `${from < 0 ? "-" : "+"}${whole}.${rest.slice(0, digits)}s`;
  }
  function span(ns) {
    for (const [size, unit] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]]) if (ns >= size) return `${+(ns / size).toPrecision(4)} ${unit}`;
    return `${Math.round(ns)} ns`;
  }
  function size(bytes) {
    let value = bytes;
    for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
      if (value < 1024 || unit === "TiB") return `${+value.toFixed(1)} ${unit}`;
      value /= 1024;
    }
  }
  // of a band, and of what stood in it to the end: a capture can end before the picture does
  const endOf = (band) => Math.min(band.x1 ?? OPEN, head.captures[band.capture].end_x);
  const hex = (number) => `0x${number.toString(16)}`;
  const count = (number) => number.toLocaleString("en");

  // -- data --------------------------------------------------------------------------------------------------------
  let head, bands, comms, axes, lookOf;
  const loaded = new Map(); // id -> Chunk, or the promise of one
  const RECTANGLES = ["x0", "length", "band", "start", "pages", "look", "kind", "offset", "cause", "tid", "endCause", "endTid", "reason", "stack"];
  const BLOCKS = ["x0", "length", "band", "kind", "y0", "height", "count", "possible", "cover"];

  function columns(bytes, names, described) {
    const rows = described.rows, found = { rows, described };
    let at = 0;
    names.forEach((name, n) => {
      const values = new Float64Array(rows);
      for (let k = 0, factor = 1; k < described.widths[n]; k++, factor *= 256, at += rows)
        for (let i = 0; i < rows; i++) values[i] += bytes[at + i] * factor;
      found[name] = values;
    });
    let x = described.x0;
    for (let i = 0; i < rows; i++) found.x0[i] = x += found.x0[i];
    found.x1 = found.length;
    for (let i = 0; i < rows; i++) found.x1[i] = found.length[i] === 0 ? OPEN : found.x0[i] + found.length[i] - 1;
    return found;
  }

  // an address to its height in the band, as analysis/sql/picture/40_rectangles.sql has it
  function heightOf(axis, address, upper) {
    let low = 0, high = axis.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (upper ? axis[middle].start < address : axis[middle].start <= address) low = middle;
      else high = middle - 1;
    }
    const cell = axis[low];
    return cell.y0 + (cell.y1 - cell.y0) * (address - cell.start) / (cell.end - cell.start);
  }

  function load(described) {
    const known = loaded.get(described.id);
    if (known) return known;
    const promise = unpack(described.id).then((bytes) => {
      const isBlock = described.id.startsWith("blocks");
      const chunk = columns(bytes, isBlock ? BLOCKS : RECTANGLES, described);
      chunk.y0 = isBlock ? chunk.y0 : new Float64Array(chunk.rows);
      chunk.y1 = new Float64Array(chunk.rows);
      for (let i = 0; i < chunk.rows; i++) {
        const axis = axes[chunk.band[i]];
        if (isBlock) {
          chunk.y0[i] = chunk.y0[i] / 16 - axis.base;
          chunk.y1[i] = chunk.y0[i] + chunk.height[i] / 16;
        } else {
          chunk.start[i] *= 4096;
          chunk.offset[i] *= 4096;
          chunk.y0[i] = heightOf(axis, chunk.start[i], false);
          chunk.y1[i] = heightOf(axis, chunk.start[i] + chunk.pages[i] * 4096, true);
        }
      }
      loaded.set(described.id, chunk);
      return chunk;
    });
    loaded.set(described.id, promise);
    return promise;
  }

  const levelOf = (width) => Math.min(3, Math.max(0, Math.floor(Math.log(head.width_ns / width * Math.max(plot.width, 1) / 2048) / Math.log(8) + 1e-9)));
  const touches = (described, x0, x1) => described.x0 <= x1 && (described.x1 ?? OPEN) >= x0;

  // the chunks that a view needs and has; those it lacks are fetched, and then it is drawn again
  function inView(kind, x0, x1, chooses) {
    const ready = [];
    let missing = false;
    for (const described of head.chunks) {
      if (!described.id.startsWith(kind) || !chooses(described.level) || !touches(described, x0, x1)) continue;
      const chunk = load(described);
      if (chunk instanceof Promise) { missing = true; chunk.then(redraw); }
      else ready.push(chunk);
    }
    return [ready, missing];
  }

  // -- the view ------------------------------------------------------------------------------------------------------
  const view = { x0: 0, x1: 1, y0: 0, y1: 1 };
  const plot = { width: 1, height: 1 };
  const chosen = { band: -1, process: null, file: "", kinds: new Set(), x: 0, sign: null, mapping: null };
  let shownBands = [], layoutHeight = 1, lookShown = [], palette = {};

  function layOut() {
    shownBands = [];
    let y = 0;
    for (const band of bands) {
      band.shown = chosen.process === null || band.band === chosen.process;
      if (!band.shown) continue;
      band.at = y;
      y += axes[band.band].height + BAND_GAP;
      shownBands.push(band);
    }
    layoutHeight = Math.max(y - BAND_GAP, 1);
  }
  function fit() {
    const from = Math.min(...shownBands.map((band) => Math.max(band.x0, 0)));
    const to = Math.max(...shownBands.map((band) => endOf(band)));
    const room = (to - from) * 0.02 + FEWEST_NS;
    Object.assign(view, { x0: from - room, x1: to + room, y0: -2, y1: layoutHeight + 2 });
    redraw();
  }
  function zoom(factor, horizontally, vertically, x = 0.5, y = 0.5) {
    if (horizontally) {
      const width = Math.min(Math.max((view.x1 - view.x0) / factor, FEWEST_NS), head.width_ns * 1.2 + FEWEST_NS);
      const at = view.x0 + (view.x1 - view.x0) * x;
      view.x0 = at - width * x;
      view.x1 = view.x0 + width;
    }
    if (vertically) {
      const height = Math.min(Math.max((view.y1 - view.y0) / factor, 0.02), layoutHeight * 1.2 + 4);
      const at = view.y0 + (view.y1 - view.y0) * y;
      view.y0 = at - height * y;
      view.y1 = view.y0 + height;
    }
    move(0, 0);
  }
  function move(x, y) { // in parts of the view
    const width = view.x1 - view.x0, height = view.y1 - view.y0;
    view.x0 = Math.min(Math.max(view.x0 + x * width, -width * 0.6), head.width_ns - width * 0.4);
    view.x1 = view.x0 + width;
    view.y0 = Math.min(Math.max(view.y0 + y * height, -height * 0.6), layoutHeight - height * 0.4);
    view.y1 = view.y0 + height;
    redraw();
  }
  const screenX = (x) => LEFT + (x - view.x0) / (view.x1 - view.x0) * plot.width;
  const screenY = (y) => TOP + (view.y1 - y) / (view.y1 - view.y0) * plot.height;
  const timeAt = (px) => view.x0 + (px - LEFT) / plot.width * (view.x1 - view.x0);
  const heightAt = (py) => view.y1 - (py - TOP) / plot.height * (view.y1 - view.y0);

  // -- drawing ---------------------------------------------------------------------------------------------------------
  let asked = 0;
  function redraw() {
    if (!asked) asked = requestAnimationFrame(() => { asked = 0; draw(); });
  }
  function readPalette() {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "quiet", "line", "panel", "band", "loss", "cursor", "accent", ...SEVERITIES, ...head.kinds.map((kind) => kind === "file" ? "filedata" : kind)];
    palette = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    palette.file = palette.filedata;
  }
  function sized(canvas) {
    const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
    const width = Math.max(Math.round(box.width * ratio), 1), height = Math.max(Math.round(box.height * ratio), 1);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, box.width, box.height);
    context.font = "11px system-ui, sans-serif";
    return [context, box.width, box.height];
  }
  function hatched(context, colour) {
    const tile = new OffscreenCanvas(8, 8), on = tile.getContext("2d");
    on.strokeStyle = colour;
    on.lineWidth = 1.2;
    on.beginPath();
    on.moveTo(-2, 6); on.lineTo(6, -2); on.moveTo(2, 10); on.lineTo(10, 2);
    on.stroke();
    return context.createPattern(tile, "repeat");
  }

  function draw() {
    const begun = performance.now();
    const [context, width, height] = sized($("map"));
    plot.width = width - LEFT - 8;
    plot.height = height - TOP - BOTTOM;
    const level = levelOf(view.x1 - view.x0);
    context.save();
    context.beginPath();
    context.rect(LEFT, TOP, plot.width, plot.height);
    context.clip();
    drawBands(context);
    const [blocks, lacksBlocks] = inView("blocks", view.x0, view.x1, (each) => each === level);
    const [rectangles, lacks] = inView("rectangles", view.x0, view.x1, (each) => each <= level);
    newPaper();
    drawBlocks(blocks);
    const [drawn, labels] = drawRectangles(rectangles);
    printPaper(context);
    drawLabels(context, labels);
    drawSigns(context);
    context.restore();
    drawAxes(context, width, height);
    drawCounts();
    const map = $("map");
    // what the tests, and people who ask why it is slow, want to know
    Object.assign(map.dataset, {
      level, drawn, view: [view.x0, view.x1, view.y0, view.y1].join(" "), plot: [LEFT, TOP, plot.width, plot.height].join(" "),
      ready: String(!lacks && !lacksBlocks), ms: (performance.now() - begun).toFixed(1),
    });
  }

  function drawBands(context) {
    context.fillStyle = palette.band;
    for (const band of shownBands) {
      const x0 = screenX(Math.max(band.x0, 0)), x1 = screenX(endOf(band));
      context.fillRect(x0, screenY(band.at + axes[band.band].height) - 2, Math.max(x1 - x0, 1), (axes[band.band].height) / (view.y1 - view.y0) * plot.height + 4);
    }
    context.fillStyle = hatched(context, palette.line);
    for (const band of shownBands) {
      for (const cell of axes[band.band]) {
        if (cell.mapped) continue;
        const y = screenY(band.at + cell.y1), bottom = screenY(band.at + cell.y0);
        if (bottom < TOP || y > TOP + plot.height || bottom - y < 1) continue;
        context.fillRect(LEFT, y, plot.width, bottom - y);
      }
    }
  }

  // calls back with the place on screen of each row that is to be seen
  function eachShown(chunk, then) {
    const scaleX = plot.width / (view.x1 - view.x0), scaleY = plot.height / (view.y1 - view.y0);
    const at = bands.map((band) => band.shown ? band.at : NaN);
    const kinds = head.kinds.map((kind) => chosen.kinds.has(kind)), ends = bands.map(endOf);
    for (let i = 0; i < chunk.rows; i++) {
      const x0 = chunk.x0[i], x1 = Math.min(chunk.x1[i], ends[chunk.band[i]]);
      if (x1 < view.x0 || x0 > view.x1 || !kinds[chunk.kind[i]]) continue;
      const base = at[chunk.band[i]], y0 = base + chunk.y0[i], y1 = base + chunk.y1[i];
      if (!(y1 >= view.y0 && y0 <= view.y1)) continue;
      if (chunk.look ? !lookShown[chunk.look[i]] : chosen.file) continue;
      const left = x0 < view.x0 ? LEFT - 4 : LEFT + (x0 - view.x0) * scaleX;
      const right = x1 > view.x1 ? LEFT + plot.width + 4 : LEFT + (x1 - view.x0) * scaleX;
      then(i, left, TOP + (view.y1 - y1) * scaleY, right - left, (y1 - y0) * scaleY);
    }
  }
  // Rectangles are painted into pixels of our own: fillRect takes 1.4 µs each without a graphics card, this some 0.1 µs.
  const paper = { canvas: new OffscreenCanvas(1, 1), image: null, pixels: null, ratio: 1 };
  function newPaper() {
    const ratio = paper.ratio = window.devicePixelRatio || 1;
    const width = Math.max(Math.round(plot.width * ratio), 1), height = Math.max(Math.round(plot.height * ratio), 1);
    if (!paper.image || paper.image.width !== width || paper.image.height !== height) {
      Object.assign(paper.canvas, { width, height });
      paper.image = new ImageData(width, height);
      paper.pixels = new Uint32Array(paper.image.data.buffer);
    } else paper.pixels.fill(0);
  }
  function fill(x, y, w, h, colour) {
    const { ratio, pixels } = paper, width = paper.image.width;
    const left = Math.max(Math.round((x - LEFT) * ratio), 0), top = Math.max(Math.round((y - TOP) * ratio), 0);
    // at least a pixel, and where there is room a line between neighbours
    const right = Math.min(Math.max(Math.round((x - LEFT + w) * ratio) - (w > 4 ? 1 : 0), left + 1), width);
    const bottom = Math.min(Math.max(Math.round((y - TOP + h) * ratio) - (h > 4 ? 1 : 0), top + 1), paper.image.height);
    for (let at = top * width; at < bottom * width; at += width) {
      if (right - left < 16) for (let px = left; px < right; px++) pixels[at + px] = colour;
      else pixels.fill(colour, at + left, at + right);
    }
  }
  function printPaper(context) {
    paper.canvas.getContext("2d").putImageData(paper.image, 0, 0);
    context.drawImage(paper.canvas, LEFT, TOP, paper.canvas.width / paper.ratio, paper.canvas.height / paper.ratio);
  }
  const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  // a colour as strong as 0 to 1 on the ground of a band, as a pixel
  function pixel(colour, strength) {
    const ground = channels(palette.band);
    const [r, g, b] = channels(colour).map((value, n) => Math.round(value * strength + ground[n] * (1 - strength)));
    return (255 << 24 | b << 16 | g << 8 | r) >>> 0;
  }

  function drawBlocks(chunks) {
    const shades = head.kinds.map((kind) => Array.from({ length: 256 }, (_, cover) => pixel(palette[kind], 0.25 + 0.6 * cover / 255)));
    for (const chunk of chunks)
      eachShown(chunk, (i, x, y, w, h) => fill(x, y, w, h, shades[chunk.kind[i]][chunk.cover[i]]));
  }
  function drawRectangles(chunks) {
    const colours = head.kinds.map((kind) => [pixel(palette[kind], 1), pixel(palette[kind], 0.6)]);
    const labels = [];
    let drawn = 0;
    for (const chunk of chunks) {
      eachShown(chunk, (i, x, y, w, h) => {
        drawn++;
        fill(x, y, w, h, colours[chunk.kind[i]][chunk.reason[i] ? 1 : 0]);
        if (w > 48 && h > 11 && labels.length < 400) labels.push([chunk, i, x, y, w, h]);
      });
    }
    return [drawn, labels];
  }
  function drawLabels(context, labels) {
    context.textBaseline = "middle";
    for (const [chunk, i, x, y, w, h] of labels) {
      const left = Math.max(x, LEFT), room = Math.min(x + w, LEFT + plot.width) - left - 8;
      const text = fitted(context, label(chunk, i), room);
      if (!text) continue;
      context.fillStyle = inkOn(palette[head.kinds[chunk.kind[i]]]);
      context.fillText(text, left + 4, y + h / 2);
    }
    if (chosen.mapping && loaded.get(chosen.mapping.id) === chosen.mapping.chunk) {
      context.strokeStyle = palette.cursor;
      context.lineWidth = 2;
      eachShown(oneRow(chosen.mapping), (_, x, y, w, h) => context.strokeRect(x, y, Math.max(w, 2), Math.max(h, 2)));
    }
  }
  function oneRow({ chunk, row }) {
    const one = { rows: 1 };
    for (const name of ["x0", "x1", "y0", "y1", "band", "kind", "look"]) one[name] = [chunk[name][row]];
    return one;
  }
  function inkOn(colour) {
    const [r, g, b] = channels(colour);
    return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#1b1e22" : "#ffffff";
  }
  function fitted(context, text, room) {
    if (room < 20) return "";
    if (text.length * 5 <= room && context.measureText(text).width <= room) return text;
    let fits = Math.floor(room / 6);
    while (fits > 3 && context.measureText(`${text.slice(0, fits)}…`).width > room) fits--;
    return fits > 3 ? `${text.slice(0, fits)}…` : "";
  }
  function label(chunk, i) {
    const path = lookOf(chunk, i).path;
    return path ? path.slice(path.lastIndexOf("/") + 1) || path : KIND_NAMES[head.kinds[chunk.kind[i]]];
  }

  function signPlace(sign) {
    const band = sign.band === undefined ? undefined : bands[sign.band];
    const x = screenX(sign.x0);
    if (!band || !band.shown || sign.y0 === undefined) return { x, y: TOP + 7, top: undefined };
    const base = band.at - axes[band.band].base;
    const top = screenY(base + Math.max(sign.y0, sign.y1)), bottom = screenY(base + sign.y0);
    return { x, y: (top + bottom) / 2, top, bottom };
  }
  const signShown = (sign) => sign.what === "loss" || sign === chosen.sign || $("minor").checked || (!sign.expected && SEVERITIES.indexOf(sign.severity) < 2);
  const ofShownBand = (sign) => sign.band === undefined ? chosen.process === null || sign.what === "loss" : bands[sign.band].shown;
  // from where to where on screen: the bands of its capture
  function lossPlaces(sign) {
    if (head.captures.length === 1) return [[TOP, TOP + plot.height]];
    return shownBands.filter((band) => band.capture === sign.capture).map((band) => [screenY(band.at + axes[band.band].height), screenY(band.at)]);
  }
  function drawSigns(context) {
    const pattern = hatched(context, palette.loss);
    for (const sign of head.signs) {
      if (!signShown(sign) || !ofShownBand(sign)) continue;
      if (sign.what === "loss") {
        const x0 = screenX(sign.x0), x1 = Math.max(screenX(sign.x1), x0 + 3);
        if (x1 < LEFT || x0 > LEFT + plot.width) continue;
        context.globalAlpha = 0.55;
        context.fillStyle = pattern;
        for (const [top, bottom] of lossPlaces(sign)) context.fillRect(x0, top, x1 - x0, bottom - top);
        context.globalAlpha = 1;
        continue;
      }
      const place = signPlace(sign);
      if (place.x < LEFT - 8 || place.x > LEFT + plot.width + 8) continue;
      context.strokeStyle = context.fillStyle = palette[sign.severity];
      context.lineWidth = sign === chosen.sign ? 3 : 1.5;
      if (place.top !== undefined) {
        context.beginPath();
        context.moveTo(place.x, place.top);
        context.lineTo(place.x, place.bottom);
        context.stroke();
      }
      const r = sign === chosen.sign ? 7 : 5;
      context.beginPath();
      context.moveTo(place.x, place.y - r);
      context.lineTo(place.x + r, place.y);
      context.lineTo(place.x, place.y + r);
      context.lineTo(place.x - r, place.y);
      context.closePath();
      context.fill();
      context.strokeStyle = palette.panel;
      context.lineWidth = 1.5;
      context.stroke();
      if (sign === chosen.sign) {
        context.strokeStyle = palette[sign.severity];
        context.beginPath();
        context.arc(place.x, place.y, 13, 0, 7);
        context.stroke();
      }
    }
    const x = screenX(chosen.x);
    context.strokeStyle = palette.cursor;
    context.lineWidth = 1;
    context.setLineDash([4, 3]);
    context.beginPath();
    context.moveTo(x, TOP);
    context.lineTo(x, TOP + plot.height);
    context.stroke();
    context.setLineDash([]);
  }

  function timeTicks() {
    const first = shownBands[0]?.capture ?? 0, from = startOf(first);
    const scale = d3.scaleLinear().domain([(view.x0 - from) / 1e9, (view.x1 - from) / 1e9]).range([LEFT, LEFT + plot.width]);
    const ticks = scale.ticks(Math.max(Math.floor(plot.width / 130), 2));
    const step = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
    const digits = Math.min(9, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
    return ticks.map((tick) => [scale(tick), `${tick < 0 ? "-" : "+"}${Math.abs(tick).toFixed(digits)}s`]);
  }
  function drawAxes(context, width, height) {
    context.strokeStyle = palette.line;
    context.fillStyle = palette.quiet;
    context.lineWidth = 1;
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const [x, text] of timeTicks()) {
      context.beginPath();
      context.moveTo(x, height - BOTTOM);
      context.lineTo(x, height - BOTTOM + 5);
      context.stroke();
      const half = context.measureText(text).width / 2;
      context.fillText(text, Math.min(Math.max(x, half + 4), width - half - 4), height - BOTTOM + 8);
    }
    context.textAlign = "right";
    context.textBaseline = "middle";
    const mono = "10px ui-monospace, 'DejaVu Sans Mono', monospace";
    for (const band of shownBands) {
      const axis = axes[band.band];
      const top = screenY(band.at + axis.height), bottom = screenY(band.at);
      if (bottom < TOP || top > TOP + plot.height) continue;
      context.fillStyle = palette.line;
      context.fillRect(LEFT - 3, Math.max(top, TOP), 2, Math.min(bottom, TOP + plot.height) - Math.max(top, TOP));
      let last = Infinity;
      const named = Math.max(top, TOP);
      context.font = mono;
      for (const cell of axis) { // upwards
        const y = screenY(band.at + cell.y0);
        if (y > TOP + plot.height || y < named + 22 || last - y < 13) continue;
        context.fillStyle = palette.quiet;
        context.fillText(cell.mapped ? cell.start.toString(16) : "⋯", LEFT - 7, y - 5);
        last = y;
      }
      if (bottom - top > 11 || shownBands.length < 60) {
        context.font = "600 11px system-ui, sans-serif";
        context.fillStyle = band.band === chosen.band ? palette.accent : palette.ink;
        if (last - named > 4 || last === Infinity) context.fillText(fitted(context, bandName(band), LEFT - 12), LEFT - 7, named + 6);
      }
    }
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "left";
  }
  // the axis has no room for the capture
  const bandTitle = (band) => `${head.captures.length > 1 ? `${head.captures[band.capture].label}: ` : ""}${bandName(band)}`;
  const bandName = (band) => `${band.comm || "?"} ${band.pid}${band.ended === "exec" ? ", before its exec" : ""}`;

  function drawCounts() {
    const [context, width, height] = sized($("counts"));
    const top = 16, bottom = 8;
    let most = 1, limit = 0;
    for (const band of shownBands) {
      const line = head.lines[band.band];
      if (!line) continue;
      limit = Math.max(limit, line.limit ?? 0);
      for (const [, , peak] of line.points) most = Math.max(most, peak);
    }
    const inside = limit && limit <= most * 3;
    const scale = d3.scaleLinear().domain([0, inside ? Math.max(limit, most) * 1.08 : most * 1.15]).nice(4).range([height - bottom, top]);
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const tick of scale.ticks(4)) {
      context.strokeStyle = palette.line;
      context.beginPath();
      context.moveTo(LEFT, scale(tick));
      context.lineTo(LEFT + plot.width, scale(tick));
      context.stroke();
      context.fillStyle = palette.quiet;
      if (Number.isInteger(tick)) context.fillText(count(tick), LEFT - 7, scale(tick));
    }
    context.textAlign = "left";
    context.save();
    context.beginPath();
    context.rect(LEFT, 0, plot.width, height);
    context.clip();
    for (const band of shownBands) {
      const line = head.lines[band.band];
      if (!line) continue;
      context.strokeStyle = band.band === chosen.band ? palette.accent : palette.quiet;
      context.globalAlpha = band.band === chosen.band || shownBands.length < 4 ? 1 : 0.4;
      context.lineWidth = band.band === chosen.band ? 2 : 1;
      context.beginPath();
      let before;
      for (const [x, vmas, peak] of line.points) {
        const at = screenX(x);
        if (before !== undefined) context.lineTo(at, scale(before));
        if (peak > vmas) context.lineTo(at, scale(peak));
        before === undefined ? context.moveTo(at, scale(vmas)) : context.lineTo(at, scale(vmas));
        before = vmas;
      }
      if (before !== undefined) context.lineTo(screenX(endOf(band)), scale(before));
      context.stroke();
    }
    context.globalAlpha = 1;
    context.lineWidth = 1.5;
    context.strokeStyle = context.fillStyle = palette.high;
    if (limit) {
      const y = inside ? scale(limit) : top - 8;
      context.setLineDash([6, 4]);
      context.beginPath();
      context.moveTo(LEFT, y);
      context.lineTo(LEFT + plot.width, y);
      if (inside) context.stroke();
      context.setLineDash([]);
      context.textBaseline = "middle";
      context.fillText(inside ? `vm.max_map_count ${count(limit)}` : `vm.max_map_count is ${count(limit)}, far above`, LEFT + 6, inside ? y - 8 : 9);
    }
    const x = screenX(chosen.x);
    context.strokeStyle = palette.cursor;
    context.lineWidth = 1;
    context.setLineDash([4, 3]);
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, height);
    context.stroke();
    context.setLineDash([]);
    context.restore();
    context.fillStyle = palette.quiet;
    context.font = "600 11px system-ui, sans-serif";
    context.fillText("VMAs", 8, 10);
    $("counts").setAttribute("aria-label", `VMAs over time: ${count(most)} at the peak${limit ? `; vm.max_map_count is ${count(limit)}` : ""}`);
  }

  // -- what a mapping is, in words -----------------------------------------------------------------------------------
  const threadName = (capture, tid) => {
    const comm = comms.get(`${capture} ${tid}`);
    return comm ? `${comm} (thread ${tid})` : `thread ${tid}`;
  };
  function lifeOf(chunk, i, short) {
    const look = lookOf(chunk, i), band = bands[chunk.band[i]], capture = band.capture;
    const end = chunk.x1[i], length = Math.min(end, endOf(band)) - chunk.x0[i];
    const facts = [
      ["what", `${look.path || KIND_NAMES[head.kinds[chunk.kind[i]]]}`],
      ["kind", `${KIND_NAMES[head.kinds[chunk.kind[i]]]}, ${look.perms}`],
      ["where", `${hex(chunk.start[i])}-${hex(chunk.start[i] + chunk.pages[i] * 4096)}, ${size(chunk.pages[i] * 4096)}`],
    ];
    if (look.inode !== "0") facts.push(["file", `offset ${hex(chunk.offset[i])}, device ${look.dev}, inode ${look.inode}`]);
    facts.push(["process", `${bandTitle(band)}${band.pids.length > 1 ? `, also used by ${band.pids.filter((pid) => pid !== band.pid).slice(0, 8).join(", ")}` : ""}`]);
    facts.push(["made", `${when(chunk.x0[i], capture)} by ${head.causes[chunk.cause[i]]}${chunk.tid[i] ? `, ${threadName(capture, chunk.tid[i])}` : ""}`]);
    facts.push(["ended", end === OPEN ? "still there at the end" : `${when(end, capture)} by ${head.causes[chunk.endCause[i]] || "?"}${chunk.endTid[i] ? `, ${threadName(capture, chunk.endTid[i])}` : ""}; stood for ${span(length)}`]);
    facts.push(["certainty", chunk.reason[i] ? `possible: ${head.reasons[chunk.reason[i]]}` : "certain"]);
    const list = factList(facts);
    if (chunk.stack[i]) {
      const frames = head.stacks[chunk.stack[i]];
      list.append(element("dt", {}, "stack"), element("dd", { class: "stack" }, short ? `${frames.slice(0, 4).join("\n")}${frames.length > 4 ? "\n…" : ""}` : frames.join("\n")));
    }
    return list;
  }
  function factList(facts) {
    const list = element("dl", { class: "facts" });
    for (const [name, value] of facts) list.append(element("dt", {}, name), element("dd", {}, value));
    return list;
  }
  function signText(sign) {
    const facts = [["when", when(sign.x0, sign.capture)], ["kind", sign.what.replaceAll("_", " ")]];
    if (sign.severity) facts.push(["severity", sign.severity]);
    if (sign.certainty) facts.push(["certainty", sign.certainty === "possible" ? `possible: ${sign.reason}` : "certain"]);
    if (sign.expected) facts.push(["normal", sign.expected]);
    const box = element("div", {}, element("p", {}, sign.sentence), factList(facts));
    if (sign.stack) box.lastChild.append(element("dt", {}, "stack"), element("dd", { class: "stack" }, head.stacks[sign.stack].join("\n")));
    return box;
  }

  function signAt(px, py) {
    let best = null, nearest = 10;
    for (const sign of head.signs) {
      if (sign.what === "loss" || !signShown(sign) || !ofShownBand(sign)) continue;
      const place = signPlace(sign), distance = Math.hypot(place.x - px, place.y - py);
      if (distance < nearest) [nearest, best] = [distance, sign];
    }
    return best;
  }
  function mappingAt(px, py) {
    if (px < LEFT || py < TOP || px > LEFT + plot.width || py > TOP + plot.height) return null;
    const level = levelOf(view.x1 - view.x0);
    let best = null, nearest = Infinity;
    const [chunks] = inView("rectangles", view.x0, view.x1, (each) => each <= level);
    for (const chunk of chunks) {
      eachShown(chunk, (i, x, y, w, h) => {
        // what is narrower than the pointer can still be met
        const away = Math.max(x - px, px - x - w, 0) + Math.max(y - py, py - y - h, 0);
        if (away < 3 && away < nearest) { nearest = away; best = { chunk, row: i, id: chunk.described.id }; }
      });
    }
    return best;
  }
  function blockAt(px, py) {
    const level = levelOf(view.x1 - view.x0);
    let rows = 0, possible = 0, kind = 0;
    const [chunks] = inView("blocks", view.x0, view.x1, (each) => each === level);
    for (const chunk of chunks) eachShown(chunk, (i, x, y, w, h) => {
      if (px >= x - 1 && px <= x + w + 1 && py >= y - 1 && py <= y + h + 1) { rows += chunk.count[i]; possible += chunk.possible[i]; kind = chunk.kind[i]; }
    });
    return rows ? element("p", {}, `${count(rows)} mapping${rows > 1 ? "s" : ""} too short to be drawn here (${KIND_NAMES[head.kinds[kind]]})${possible ? `, ${count(possible)} only possible` : ""}: ${level < 3 && head.kept === head.rectangles ? "zoom in" : "zoom in, or see “left out” above"}`) : null;
  }
  function lossAt(px, py) {
    const sign = head.signs.find((each) => each.what === "loss" && lossPlaces(each).some(([top, bottom]) => py >= top && py <= bottom) && screenX(each.x0) - 2 <= px && Math.max(screenX(each.x1), screenX(each.x0) + 3) + 2 >= px);
    return sign ? element("p", { class: "lacking" }, sign.sentence) : null;
  }
  function hover(px, py, clientX, clientY) {
    const box = $("hover");
    const sign = signAt(px, py), mapping = sign ? null : mappingAt(px, py);
    const content = sign ? signText(sign) : mapping ? lifeOf(mapping.chunk, mapping.row, true) : blockAt(px, py);
    const loss = lossAt(px, py);
    box.replaceChildren(...[content, loss].filter(Boolean));
    box.hidden = !box.childNodes.length;
    if (box.hidden) return;
    const { width, height } = box.getBoundingClientRect();
    box.style.left = `${Math.max(Math.min(clientX + 14, innerWidth - width - 8), 8)}px`;
    box.style.top = `${clientY + 14 + height > innerHeight ? Math.max(clientY - height - 14, 8) : clientY + 14}px`;
  }
  function show(mapping) {
    chosen.mapping = mapping;
    $("life").replaceChildren(lifeOf(mapping.chunk, mapping.row, false));
    redraw();
  }

  // -- maps at an instant -----------------------------------------------------------------------------------------
  let mapsAsked = 0;
  function setTime(x, fromSlider) {
    chosen.x = Math.min(Math.max(x, 0), head.width_ns);
    if (!fromSlider) $("time").value = Math.round(sliderOf(chosen.x));
    const capture = chosen.band >= 0 ? bands[chosen.band].capture : 0;
    $("at").textContent = when(chosen.x, capture);
    $("time").setAttribute("aria-valuetext", when(chosen.x, capture));
    redraw();
    if (!mapsAsked) mapsAsked = requestAnimationFrame(() => { mapsAsked = 0; showMaps(); });
  }
  // the slider goes through the time in which the address spaces shown were there
  function sliderRange() {
    const from = Math.min(...shownBands.map((band) => Math.max(band.x0, 0)));
    const to = Math.max(...shownBands.map((band) => endOf(band)));
    return [from, Math.max(to, from + 1)];
  }
  const sliderOf = (x) => { const [from, to] = sliderRange(); return (x - from) / (to - from) * 10000; };
  const ofSlider = (value) => { const [from, to] = sliderRange(); return from + (to - from) * value / 10000; };

  let mapsTurn = 0;
  async function showMaps() {
    const turn = ++mapsTurn, x = chosen.x, band = bands[chosen.band];
    if (!band) return;
    const wanted = head.chunks.filter((each) => touches(each, x, x));
    const chunks = await Promise.all(wanted.map(load));
    if (turn !== mapsTurn) return;
    const found = [];
    let hidden = 0;
    for (const chunk of chunks) {
      for (let i = 0; i < chunk.rows; i++) {
        if (chunk.band[i] !== band.band || chunk.x0[i] > x || chunk.x1[i] <= x || x > endOf(band)) continue;
        if (chunk.look) found.push({ chunk, row: i, id: chunk.described.id, start: chunk.start[i], end: chunk.start[i] + chunk.pages[i] * 4096 });
        else if (chunk.described.level === 3) hidden += chunk.count[i];
      }
    }
    found.sort((one, other) => one.start - other.start);
    const joined = [];
    for (const each of found) {
      const last = joined.at(-1);
      if (last && alike(last, each)) last.end = each.end;
      else joined.push({ ...each });
    }
    Object.assign(lines, { all: joined, texts: joined.map(mapsText), chosen: -1 });
    lines.width = lines.texts.reduce((most, text) => Math.max(most, text.length), 0);
    fillLines();
    const alive = band.x0 <= x && (band.x1 === null || x < band.x1) && x <= endOf(band);
    $("maps-told").textContent = `${bandTitle(band)} at ${when(x, band.capture)}: ` + (alive ? `${count(joined.length)} mappings, neighbours of one kind joined` : "not there then") +
      (joined.some((each) => each.chunk.reason[each.row]) ? "; those in italics are only possible" : "") +
      doubtsAt(band.band, x) +
      (hidden ? `; up to ${count(hidden)} short ones of about that time are left out: analyze maps has all` : "");
    $("maps").dataset.x = String(x);
  }
  function doubtsAt(band, x) {
    const found = head.doubts.filter((each) => each[0] === band && each[3] <= x && (each[4] ?? OPEN) > x);
    if (!found.length) return "";
    const [, start, end, , , reason] = found[0];
    return `; only possible, mapped or not, from ${hex(start)} to ${hex(end)}${found.length > 1 ? ` and in ${count(found.length - 1)} more places` : ""}: ${reason}`;
  }
  function alike(one, other) {
    const a = one.chunk, i = one.row, b = other.chunk, j = other.row, look = lookOf(a, i);
    return one.end === other.start && a.look[i] === b.look[j] && a.kind[i] === b.kind[j] && a.kind[i] !== head.kinds.indexOf("special") &&
      (look.inode === "0" || a.offset[i] + one.end - one.start === b.offset[j]);
  }
  function mapsPath({ chunk, row }) {
    const kind = head.kinds[chunk.kind[row]];
    return lookOf(chunk, row).path || (kind === "heap" || kind === "stack" ? `[${kind}]` : "");
  }
  function mapsText({ chunk, row, start, end }) {
    const look = lookOf(chunk, row);
    return `${start.toString(16).padStart(8, "0")}-${end.toString(16).padStart(8, "0")} ${look.perms} ${chunk.offset[row].toString(16).padStart(8, "0")} ${look.dev} ${look.inode}`;
  }
  // The lines of the maps: of many only those in sight, and some more, are in the page.
  const lines = { all: [], texts: [], width: 0, chosen: -1 };
  const LINE = 18, MOST_LINES = 1000; // CSS pixels, as in the style sheet
  function fillLines() {
    const list = $("maps"), scrolled = list.scrollTop, many = lines.all.length > MOST_LINES;
    const from = many ? Math.max(Math.min(Math.floor(scrolled / LINE) - 100, lines.all.length - 300), 0) : 0;
    const to = many ? from + 300 : lines.all.length;
    const made = lines.all.slice(from, to).map((each, at) => {
      const n = from + at;
      const line = element("div", {
        role: "option", id: `line-${n}`, "aria-selected": String(n === lines.chosen), "aria-setsize": lines.all.length, "aria-posinset": n + 1,
      }, `${lines.texts[n].padEnd(lines.width)} ${mapsPath(each)}`);
      if (each.chunk.reason[each.row]) line.classList.add("possible");
      line.style.borderLeftColor = palette[head.kinds[each.chunk.kind[each.row]]];
      return line;
    });
    if (many) {
      const before = element("div", { class: "room", role: "presentation" }), after = element("div", { class: "room", role: "presentation" });
      before.style.height = `${from * LINE}px`;
      after.style.height = `${(lines.all.length - to) * LINE}px`;
      made.unshift(before);
      made.push(after);
    }
    list.replaceChildren(...made);
    list.scrollTop = scrolled;
    list.dataset.from = String(from);
    if (lines.chosen < 0) list.removeAttribute("aria-activedescendant");
    else list.setAttribute("aria-activedescendant", `line-${lines.chosen}`);
  }
  function selectLine(n) {
    if (!lines.all.length) return;
    const list = $("maps");
    lines.chosen = Math.min(Math.max(n, 0), lines.all.length - 1);
    list.scrollTop = Math.min(Math.max(list.scrollTop, (lines.chosen + 2) * LINE - list.clientHeight), lines.chosen * LINE);
    fillLines();
    show(lines.all[lines.chosen]);
  }
  // the next instant at which a mapping of this address space begins or ends
  async function step(forwards) {
    const band = chosen.band, x = chosen.x;
    const last = (each) => each.x1 ?? OPEN;
    const ahead = head.chunks.filter((each) => each.id.startsWith("rectangles") && (forwards ? last(each) > x : each.x0 < x));
    ahead.sort((one, other) => forwards ? one.x0 - other.x0 : last(other) - last(one));
    let best = forwards ? OPEN : -1;
    for (const described of ahead) {
      if (forwards ? described.x0 >= best : last(described) <= best) break; // none further on is nearer
      const chunk = await load(described);
      for (let i = 0; i < chunk.rows; i++) {
        if (chunk.band[i] !== band) continue;
        for (const at of [chunk.x0[i], chunk.x1[i]])
          if (forwards ? at > x && at < best : at < x && at > best) best = at;
      }
    }
    if (best !== OPEN && best >= 0) setTime(best);
  }

  function chooseBand(number) {
    chosen.band = number;
    setTime(chosen.x);
  }

  // -- the page around it --------------------------------------------------------------------------------------------
  function goTo(sign, focus) {
    chosen.sign = sign;
    for (const link of document.querySelectorAll("#findings a")) link.removeAttribute("aria-current");
    $(`link-${head.signs.indexOf(sign)}`)?.setAttribute("aria-current", "true");
    if (sign.band !== undefined) {
      if (chosen.process !== null && chosen.process !== sign.band) {
        chosen.process = sign.band;
        $("process").value = String(sign.band);
        layOut();
      }
      chosen.band = sign.band;
    }
    const band = sign.band === undefined ? null : bands[sign.band];
    const life = band ? endOf(band) - Math.max(band.x0, 0) : head.width_ns;
    const width = Math.max(life / 6, FEWEST_NS * 10);
    Object.assign(view, { x0: sign.x0 - width / 2, x1: sign.x0 + width / 2 });
    if (band && sign.y0 !== undefined) {
      const middle = band.at - axes[band.band].base + (sign.y0 + sign.y1) / 2;
      const height = Math.min(Math.max((sign.y1 - sign.y0) * 4, 60), layoutHeight + 4);
      Object.assign(view, { y0: middle - height / 2, y1: middle + height / 2 });
    }
    move(0, 0);
    setTime(Math.max(sign.x0 - 1, 0)); // just before: what was there
    $("life").replaceChildren(signText(sign));
    chosen.mapping = null;
    if (focus) {
      $("map").focus({ preventScroll: true });
      $("picture").scrollIntoView();
    }
  }
  function byHash() {
    const match = /^#finding-(\d+)$/.exec(location.hash);
    if (match && head.signs[+match[1]]) goTo(head.signs[+match[1]], true);
  }

  function fillSummary() {
    const several = head.captures.length > 1;
    $("told").textContent = head.captures.map((each) => each.facts.find(([name]) => name === "host")?.[1] ?? each.label).join(" · ");
    for (const each of head.captures) {
      const box = element("div", { class: "capture" });
      if (several) box.append(element("h3", {}, each.label));
      const lost = each.counts.reduce((sum, row) => sum + (row[4] ?? 0), 0);
      const gaps = head.signs.some((sign) => sign.what === "loss" && head.captures[sign.capture] === each);
      for (const line of each.completeness) {
        const whole = line === "complete" && !lost && !gaps;
        box.append(element("p", { class: whole ? "complete" : line === "complete" ? "quiet" : "lacking" }, whole ? "✓ complete: nothing is known to be missing" : line === "complete" ? "the recording ended as it should" : `⚠ ${line}`));
      }
      box.append(element("p", { class: lost || gaps ? "lacking" : "quiet" }, lost || gaps ? `⚠ ${lost ? count(lost) : "some"} records were lost; hatched in the picture where that was` : "no record was lost"));
      const stored = each.counts.filter((row) => row[1]).map((row) => `${count(row[1])} ${row[0]}`).join(", ");
      box.append(factList([...each.facts, ["records", stored]]));
      $("summary").append(box);
    }
    const left = [];
    if (head.spaces < head.spaces_there) left.push(`${count(head.spaces)} of ${count(head.spaces_there)} address spaces, those with most to tell`);
    if (head.kept < head.rectangles) left.push(`${count(head.kept)} of ${count(head.rectangles)} mappings one by one, the longest; the others are drawn as blocks with their number`);
    $("picture-told").textContent = `Time to the right, addresses up, each process a band; what was never mapped is squeezed (⋯), and height is the logarithm of size. ` +
      (left.length ? `Left out: this report holds ${left.join(", and ")}. analyze report with --pid, --from and --to shows all of a part.` : `All ${count(head.rectangles)} mappings are here.`);
  }
  function fillFindings() {
    const all = $("minor").checked, list = $("findings");
    const found = head.signs.map((sign, number) => [sign, number]).filter(([sign]) => sign.what !== "loss");
    const shown = found.filter(([sign]) => all || (!sign.expected && SEVERITIES.indexOf(sign.severity) < 2));
    list.replaceChildren(...shown.map(([sign, number]) => {
      const text = element("span", { class: "text" }, sign.sentence);
      if (sign.certainty === "possible") text.append(element("span", { class: "quiet" }, ` Possible: ${sign.reason}.`));
      if (sign.expected) text.append(element("span", { class: "quiet" }, ` Normal: ${sign.expected}.`));
      const link = element("a", { href: `#finding-${number}`, id: `link-${number}` },
        element("span", { class: `severity ${sign.severity}` }, sign.severity), element("span", { class: "when" }, head.captures.length > 1 ? `${head.captures[sign.capture].label} ` : "", when(sign.x0, sign.capture)), text);
      link.addEventListener("click", () => { if (location.hash === link.getAttribute("href")) goTo(sign, true); });
      return element("li", {}, link);
    }));
    $("findings-count").textContent = shown.length ? count(shown.length) : "none that harms or can harm";
    const cut = new Map(found.filter(([sign]) => sign.alike > head.most_signs).map(([sign]) => [sign.what, sign.alike]));
    $("findings-more").textContent = (shown.length < found.length ? `${count(found.length - shown.length)} more are low, info or normal. ` : "") +
      [...cut].map(([what, alike]) => `Of kind ${what} the first ${count(head.most_signs)} of ${count(alike)} are here; analyze edges has all. `).join("");
  }
  function fillShared() {
    const box = $("shared"), several = head.captures.length > 1;
    if (!head.shared.files.length) box.append(element("p", { class: "quiet" }, "No two of these address spaces shared memory that could be written to."));
    for (const file of head.shared.files) {
      const table = element("table", {}, element("caption", {}, `${file.path || "(anonymous)"} `, element("span", { class: "quiet" }, file.kind)));
      table.append(element("thead", {}, element("tr", {}, ...["process", "perms", "offsets", "shared", "from", "to", "how", "certainty"].map((name) => element("th", { scope: "col" }, name)))));
      const body = element("tbody");
      for (const stay of file.stays) {
        const capture = bands[stay.band].capture;
        body.append(element("tr", {}, ...[
          `${several ? `${head.captures[capture].label}: ` : ""}${stay.comm} ${stay.pid}`, stay.perms, `${hex(stay.offset_bytes)}-${hex(stay.offset_end_bytes)}`, size(stay.shared_bytes),
          when(stay.x0, capture), stay.x1 === null ? "end" : when(stay.x1, capture), stay.cause, stay.certainty,
        ].map((text) => element("td", {}, text))));
      }
      table.append(body);
      box.append(table);
    }
    if (head.shared.there > head.shared.files.length) box.append(element("p", { class: "quiet" }, `${count(head.shared.there - head.shared.files.length)} more files: analyze shared has all.`));
  }
  function fillControls() {
    const select = $("process");
    select.append(element("option", { value: "" }, `all (${bands.length})`));
    for (const band of bands) {
      select.append(element("option", { value: band.band }, `${bandTitle(band)}, ${count(band.rectangles)} mappings, from ${when(band.x0, band.capture, 3)}`));
    }
    select.addEventListener("change", () => {
      chosen.process = select.value === "" ? null : +select.value;
      layOut();
      if (chosen.process !== null) chosen.band = chosen.process;
      setTime(Math.min(Math.max(chosen.x, sliderRange()[0]), sliderRange()[1] - 1));
      fit();
    });
    for (const kind of head.kinds) {
      chosen.kinds.add(kind);
      const box = element("input", { type: "checkbox", "data-kind": kind });
      box.checked = true;
      box.addEventListener("change", () => { chosen.kinds[box.checked ? "add" : "delete"](kind); redraw(); });
      const swatch = element("i");
      swatch.style.background = `var(--${kind === "file" ? "filedata" : kind})`;
      $("kinds").append(element("label", {}, box, swatch, KIND_NAMES[kind]));
    }
    const file = $("file");
    file.addEventListener("input", () => { chosen.file = file.value; filterFiles(); redraw(); });
    for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => act(button.dataset.do));
    $("minor").addEventListener("change", () => { fillFindings(); redraw(); });
    $("time").addEventListener("input", () => setTime(ofSlider(+$("time").value), true));
    const list = $("maps");
    list.addEventListener("click", (event) => { const line = event.target.closest("[role=option]"); if (line) selectLine(+line.id.slice(5)); });
    list.addEventListener("scroll", () => { if (lines.all.length > MOST_LINES && Math.abs(Math.floor(list.scrollTop / LINE) - 100 - list.dataset.from) > 60) fillLines(); });
    list.addEventListener("keydown", (event) => {
      const at = lines.chosen;
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: lines.all.length - 1, PageDown: at + 15, PageUp: at - 15 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      selectLine(to);
    });
  }
  const filterFiles = () => { lookShown = head.looks.map((look) => !chosen.file || look.path.toLowerCase().includes(chosen.file.toLowerCase())); };
  const ACTIONS = {
    "time-in": () => zoom(1.6, true, false), "time-out": () => zoom(1 / 1.6, true, false),
    "addr-in": () => zoom(1.6, false, true), "addr-out": () => zoom(1 / 1.6, false, true),
    left: () => move(-0.2, 0), right: () => move(0.2, 0), up: () => move(0, 0.2), down: () => move(0, -0.2), fit,
  };
  const act = (name) => ACTIONS[name]();
  const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", 0: "fit", "+": "time-in", "=": "time-in", "-": "time-out" };

  function listen() {
    const map = $("map");
    map.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      // with Shift, + is the key of = on many keyboards: what counts is Shift
      const zooms = { "+": "in", "*": "in", "=": "in", "-": "out", _: "out" }[event.key];
      const plain = event.key === "+" && !event.getModifierState("Shift") || event.code === "NumpadAdd";
      if (event.key === "," || event.key === ".") step(event.key === ".");
      else if (zooms) act(`${event.shiftKey && !plain ? "addr" : "time"}-${zooms}`);
      else if (KEYS[event.key]) act(KEYS[event.key]);
      else return;
      event.preventDefault();
    });
    let before = d3.zoomIdentity;
    const behaviour = d3.zoom()
      .scaleExtent([1e-9, 1e12])
      .filter((event) => !event.button && event.type !== "dblclick")
      .wheelDelta((event) => -(event.deltaY || event.deltaX) * (event.deltaMode === 1 ? 0.05 : event.deltaMode ? 1 : 0.002))
      .on("zoom", (event) => {
        const now = event.transform, factor = now.k / before.k;
        if (factor !== 1 && event.sourceEvent) {
          const [x, y] = d3.pointer(event.sourceEvent.touches?.[0] ?? event.sourceEvent, map), touch = !!event.sourceEvent.touches;
          zoom(factor, !event.sourceEvent.shiftKey || touch, event.sourceEvent.shiftKey || touch, (x - LEFT) / plot.width, 1 - (y - TOP) / plot.height);
        } else move(-(now.x - before.x) / plot.width, (now.y - before.y) / plot.height);
        before = now;
        $("hover").hidden = true;
      });
    d3.select(map).call(behaviour);
    map.addEventListener("mousemove", (event) => { if (!event.buttons) hover(event.offsetX, event.offsetY, event.clientX, event.clientY); });
    map.addEventListener("mouseleave", () => { $("hover").hidden = true; });
    map.addEventListener("click", (event) => {
      const sign = signAt(event.offsetX, event.offsetY), mapping = sign ? null : mappingAt(event.offsetX, event.offsetY);
      const y = heightAt(event.offsetY);
      const band = shownBands.find((each) => y >= each.at - BAND_GAP / 2 && y <= each.at + axes[each.band].height + BAND_GAP / 2);
      if (band) chosen.band = band.band;
      setTime(timeAt(event.offsetX));
      if (sign) { chosen.sign = sign; $("life").replaceChildren(signText(sign)); redraw(); }
      else if (mapping) show(mapping);
    });
    new ResizeObserver(redraw).observe(map);
    addEventListener("hashchange", byHash);
    const repaint = () => { readPalette(); redraw(); showMaps(); };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    // paper is white, whatever the screen is
    addEventListener("beforeprint", () => { readPalette(); draw(); });
    addEventListener("afterprint", repaint);
  }

  async function begin() {
    head = JSON.parse(new TextDecoder().decode(await unpack("head")));
    bands = head.bands;
    axes = bands.map(() => []);
    for (const [band, start, end, y0, y1, mapped] of head.axis) axes[band].push({ start, end, y0, y1, mapped });
    for (const axis of axes) {
      axis.base = axis[0].y0;
      axis.height = axis.at(-1).y1 - axis.base;
      for (const cell of axis) { cell.y0 -= axis.base; cell.y1 -= axis.base; }
    }
    comms = new Map(head.threads.map(([capture, tid, comm]) => [`${capture} ${tid}`, comm]));
    lookOf = (chunk, i) => head.looks[chunk.look[i]];
    readPalette();
    fillSummary();
    fillFindings();
    fillShared();
    fillControls();
    filterFiles();
    layOut();
    listen();
    const grave = head.signs.find((sign) => sign.band !== undefined && !sign.expected && sign.severity === "high");
    chosen.band = grave ? grave.band : bands.reduce((best, band) => band.rectangles > best.rectangles ? band : best).band;
    fit();
    const band = bands[chosen.band];
    setTime(grave ? Math.max(grave.x0 - 1, 0) : endOf(band) - 1);
    $("map").setAttribute("aria-label", `Mappings of ${bands.length} address spaces over ${span(head.width_ns)}; the findings above and the maps beside it say the same in words`);
    byHash();
    $("main").setAttribute("aria-busy", "false");
  }
  begin();
})();
