// The page that takes an image: by drop, click, paste, camera or example; shows the answer as bars.

const element = (id) => document.getElementById(id);
const bench = element("bench");
const plate = element("plate");
const preview = element("preview");
const answer = element("answer");
const SHOWN_CLASSES = 6;

let objectUrl = null;
let asked = 0;

function percent(fraction) {
  const value = fraction * 100;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  if (value < 100 && value > 99.9) return "> 99.9 %";
  return `${value.toFixed(1)} %`;
}

function milliseconds(value) {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function show(...nodes) {
  answer.replaceChildren(...nodes);
}

function showPicture(blob, name) {
  if (objectUrl) URL.revokeObjectURL(objectUrl);
  objectUrl = URL.createObjectURL(blob);
  preview.alt = name ? `Your picture, ${name}` : "Your picture";
  preview.onload = () => preview.classList.toggle("tiny", preview.naturalWidth < 128);
  // A format that the browser cannot show (TIFF) may still be read by the server.
  preview.onerror = () => {
    preview.hidden = true;
    element("prompt").hidden = false;
  };
  preview.src = objectUrl;
  preview.hidden = false;
  element("prompt").hidden = true;
}

function showError(problem) {
  const notice = make("div", "notice");
  notice.setAttribute("role", "alert");
  const message = make("p");
  message.append(make("strong", "", problem.error));
  notice.append(message);
  if (problem.hint) notice.append(make("p", "small", problem.hint));
  if (problem.kind) notice.append(make("p", "small soft mono", problem.kind));
  show(make("h2", "", "No answer"), notice);
}

function bar(entry, counts) {
  const item = make("li", counts === undefined ? "" : counts ? "above" : "below");
  const fill = make("span");
  const rail = make("div", "rail");
  rail.append(fill);
  item.append(make("span", "name", entry.class), make("span", "value", percent(entry.probability)), rail);
  item.firstChild.title = entry.class;
  requestAnimationFrame(() => requestAnimationFrame(() => {
    fill.style.width = `${Math.max(entry.probability * 100, 0.4)}%`;
  }));
  return item;
}

// Where a picture may have several labels, `common` is what one needs to count, unless each has a
// threshold of its own.
function bars(probabilities, common) {
  const draw = (entry) => {
    const threshold = entry.threshold ?? common;
    return bar(entry, threshold === undefined ? undefined : entry.probability > threshold);
  };
  const list = make("ol", "bars");
  const all = probabilities.length <= SHOWN_CLASSES + 2;
  const first = all ? probabilities : probabilities.slice(0, SHOWN_CLASSES);
  list.append(...first.map(draw));
  if (all) return [list];
  const more = make("button", "button bare", `Show all ${probabilities.length} classes`);
  more.type = "button";
  more.addEventListener("click", () => {
    list.append(...probabilities.slice(SHOWN_CLASSES).map(draw));
    more.remove();
  });
  return [list, more];
}

function showAnswer(result, roundTrip) {
  const head = make("div", "answer");
  if (result.labels) {
    const names = result.labels.length ? result.labels.join(", ") : "none of its labels";
    head.append(make("span", "class", names));
  } else {
    head.append(make("span", "class", result.class), make("span", "confidence", percent(result.confidence)));
  }

  const timing = make("dl", "timing");
  const stages = [
    ["Decode", result.timing_ms.decode],
    ["Preprocess", result.timing_ms.preprocess],
    ["Network", result.timing_ms.network],
    ["Server", result.timing_ms.total],
    ["Round trip", roundTrip],
  ];
  for (const [name, value] of stages) {
    const stage = make("div");
    stage.append(make("dt", "", name), make("dd", "", milliseconds(value)));
    timing.append(stage);
  }

  const image = result.image;
  const trace = make("p", "trace");
  const link = make("a", "", `${result.model.name} v${result.model.version}`);
  link.href = `/ui/models/${encodeURIComponent(result.model.name)}`;
  trace.append(
    `${image.width}×${image.height} ${image.format} · `, link, " · ", make("span", "mono", result.id),
  );
  show(make("h2", "", "Answer"), head, ...bars(result.probabilities, result.threshold), timing, trace);
}

async function problemOf(response) {
  try {
    const body = await response.json();
    if (body && body.error) return body;
  } catch {
    // Not this server's JSON: say what is known.
  }
  return { error: `the server answered ${response.status}`, hint: "try again" };
}

async function predict(blob, name) {
  const number = ++asked;
  showPicture(blob, name);
  plate.classList.add("working");
  answer.setAttribute("aria-busy", "true");
  const form = new FormData();
  form.append("file", blob, name || "picture");
  const model = element("model");
  const query = model && model.value ? `?model=${encodeURIComponent(model.value)}` : "";
  const start = performance.now();
  try {
    const response = await fetch(`/predict${query}`, { method: "POST", body: form });
    const problem = response.ok ? null : await problemOf(response);
    const result = response.ok ? await response.json() : null;
    if (number !== asked) return;
    if (problem) showError(problem);
    else showAnswer(result, performance.now() - start);
  } catch {
    if (number === asked) {
      showError({ error: "the server cannot be reached", hint: "is it still running?" });
    }
  } finally {
    if (number === asked) {
      plate.classList.remove("working");
      answer.removeAttribute("aria-busy");
    }
  }
}

function firstPicture(transfer) {
  const files = [...(transfer?.files ?? [])];
  return files.find((file) => file.type.startsWith("image/")) ?? files[0];
}

function watchDrops() {
  let depth = 0;
  const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const over = (on) => plate.classList.toggle("over", on);
  document.addEventListener("dragenter", (event) => {
    if (carriesFiles(event)) { depth += 1; over(true); }
  });
  document.addEventListener("dragleave", (event) => {
    if (carriesFiles(event) && --depth <= 0) { depth = 0; over(false); }
  });
  document.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    over(false);
    const file = firstPicture(event.dataTransfer);
    if (file) predict(file, file.name);
  });
}

function watchInputs() {
  for (const id of ["file", "camera"]) {
    const input = element(id);
    input.addEventListener("change", () => {
      const file = input.files[0];
      if (file) predict(file, file.name);
      input.value = "";
    });
  }
  plate.addEventListener("click", () => element("file").click());
  element("choose").addEventListener("click", () => element("file").click());
  element("take").addEventListener("click", () => element("camera").click());
  document.addEventListener("paste", (event) => {
    const file = firstPicture(event.clipboardData);
    if (file) { event.preventDefault(); predict(file, file.name || "pasted picture"); }
  });
  for (const example of bench.querySelectorAll("[data-example]")) {
    example.addEventListener("click", async () => {
      const response = await fetch(example.dataset.example);
      if (response.ok) predict(await response.blob(), example.dataset.name);
      else showError(await problemOf(response));
    });
  }
}

watchDrops();
watchInputs();
