"use strict";
// Draws the maps and filters. Names are free text: they become text nodes and attributes only, never markup.
(() => {
  const picture = JSON.parse(document.getElementById("picture").textContent);
  const STATES = ["failing", "missing", "unverified", "rolling-out", "verified"];
  const LABELS = { failing: "failing", missing: "not there", unverified: "unverified", "rolling-out": "rolling out" };
  // More pairs than this are too many to begin with: those that are verified wait until somebody asks for them.
  const MANY = 60;
  const byId = (id) => document.getElementById(id);
  const [form, environment, application, shown] = ["filter", "environment", "application", "shown"].map(byId);
  const boxes = [...form.querySelectorAll("[name=state]")];
  const sections = [...document.querySelectorAll("[data-environment]")].map((section) => ({
    section,
    data: picture.environments[Number(section.dataset.environment)],
    rows: [...section.querySelectorAll("[data-pair]")],
    map: section.querySelector(".map"),
    canvas: section.querySelector(".canvas"),
    caption: section.querySelector("figcaption"),
    none: section.querySelector(".none"),
  }));
  const all = picture.environments.flatMap((it) => it.pairs);
  const many = all.length > MANY && all.some((pair) => pair.state !== "verified");
  const usual = many ? STATES.slice(0, -1) : STATES;
  const narrow = matchMedia("(max-width: 40rem)");
  // The application that was chosen on a map: exactly this one, and not every name that holds the text.
  let chosen = null;

  // What is looked for, from the form.
  const wanted = () => {
    const states = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const text = application.value.trim().toLowerCase();
    const named = (name) => (chosen === null ? name.toLowerCase().includes(text) : name === chosen);
    return {
      states,
      everything: states.size === STATES.length && text === "",
      here: (number) => environment.value === "" || environment.value === String(number),
      pair: (pair) => states.has(pair.state) && (named(pair.consumer) || named(pair.provider)),
    };
  };

  const show = () => {
    const filter = wanted();
    let visible = 0;
    sections.forEach((it, number) => {
      it.section.hidden = !filter.here(number);
      const pairs = it.data.pairs.filter((pair, row) => {
        const matches = filter.pair(pair);
        it.rows[row].hidden = !matches;
        return matches;
      });
      it.none.hidden = pairs.length > 0;
      if (it.section.hidden) return;
      visible += pairs.length;
      draw(it, pairs, filter.everything && it.data.leftOut === 0);
    });
    const total = picture.environments.reduce((sum, it, number) => sum + (filter.here(number) ? it.pairs.length : 0), 0);
    shown.textContent = visible === total ? `${total} pairs` : `${visible} of ${total} pairs`;
    remember(filter);
  };

  // The address says what is looked for, so that it can be passed on.
  const remember = ({ states }) => {
    const said = new URLSearchParams();
    if (environment.value !== "") {
      const { name, broker } = picture.environments[Number(environment.value)];
      said.set("environment", name);
      // Two brokers may have one of the same name.
      if (picture.environments.some((it) => it.name === name && it.broker !== broker)) said.set("broker", broker ?? "");
    }
    if (application.value !== "") said.set(chosen === null ? "holds" : "application", application.value);
    if ([...states].join(" ") !== usual.join(" ")) said.set("states", [...states].join(" "));
    // Where nothing is looked for, it may lead to an environment on the page.
    if (`${said}` === "" && !location.hash.includes("=")) return;
    try {
      history.replaceState(null, "", `#${said}`);
    } catch {
      // Some browsers refuse it for files.
    }
  };
  const recall = () => {
    const said = new URLSearchParams(location.hash.slice(1));
    const meant = (it) => it.name === said.get("environment") && (!said.has("broker") || (it.broker ?? "") === said.get("broker"));
    const number = picture.environments.findIndex(meant);
    if (number >= 0) environment.value = String(number);
    chosen = said.get("application");
    application.value = chosen ?? said.get("holds") ?? "";
    const states = said.has("states") ? said.get("states").split(" ") : usual;
    boxes.forEach((box) => (box.checked = states.includes(box.value)));
  };
  const choose = (name) => {
    chosen = chosen === name ? null : name;
    application.value = chosen ?? "";
    show();
  };

  const svg = (name, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const html = (name, text) => {
    const element = document.createElement(name);
    element.append(text);
    return element;
  };
  const worst = (pairs) => STATES.find((state) => pairs.some((pair) => pair.state === state)) ?? "verified";

  // Consumers at the left, providers at the right: layers, with a cell for each application, and for each layer that an
  // arrow passes.
  const layered = (names, edges) => {
    const out = new Map(names.map((name) => [name, []]));
    const into = new Map(names.map((name) => [name, 0]));
    for (const edge of edges) {
      out.get(edge.from).push(edge);
      into.set(edge.to, into.get(edge.to) + 1);
    }
    // Where applications need each other in a circle, one arrow runs from the right to the left.
    const state = new Map();
    const links = [];
    const visit = (name) => {
      state.set(name, "open");
      for (const edge of out.get(name)) {
        if (edge.to === name) continue;
        if (state.get(edge.to) === "open") links.push({ left: edge.to, right: name, edge, back: true });
        else links.push({ left: name, right: edge.to, edge, back: false });
        if (!state.has(edge.to)) visit(edge.to);
      }
      state.set(name, "done");
    };
    [...names].sort((one, other) => into.get(one) - into.get(other)).forEach((name) => state.has(name) || visit(name));
    const lefts = new Map(names.map((name) => [name, []]));
    const rights = new Map(names.map((name) => [name, []]));
    for (const link of links) {
      lefts.get(link.right).push(link.left);
      rights.get(link.left).push(link.right);
    }
    const depth = new Map();
    const deep = (name) => {
      if (!depth.has(name)) depth.set(name, lefts.get(name).reduce((most, left) => Math.max(most, deep(left) + 1), 0));
      return depth.get(name);
    };
    names.forEach(deep);
    for (const name of names) {
      // Whom nobody needs stands right before the first one that it needs.
      if (lefts.get(name).length === 0 && rights.get(name).length > 0) {
        depth.set(name, Math.min(...rights.get(name).map((right) => depth.get(right))) - 1);
      }
    }
    const layers = [];
    const cell = (layer, name) => {
      const made = { name, layer, at: 0, left: [], right: [] };
      (layers[layer] ??= []).push(made);
      return made;
    };
    const cells = new Map(names.map((name) => [name, cell(depth.get(name), name)]));
    for (const link of links) {
      link.cells = [cells.get(link.left)];
      for (let layer = depth.get(link.left) + 1; layer < depth.get(link.right); layer += 1) {
        link.cells.push(cell(layer, null));
      }
      link.cells.push(cells.get(link.right));
      for (let step = 1; step < link.cells.length; step += 1) {
        link.cells[step - 1].right.push(link.cells[step]);
        link.cells[step].left.push(link.cells[step - 1]);
      }
    }
    const size = (one) => (one.name === null ? 0.3 : 1);
    const stack = (layer) => {
      let top = 0;
      for (const one of layer) {
        one.at = top + size(one) / 2;
        top += size(one);
      }
    };
    layers.forEach(stack);
    const mean = (them, otherwise) => (them.length === 0 ? otherwise : them.reduce((sum, it) => sum + it.at, 0) / them.length);
    // Few arrows cross where each application stands beside the middle of its neighbours.
    for (let round = 0; round < 12; round += 1) {
      const rightwards = round % 2 === 0;
      for (const layer of rightwards ? layers : [...layers].reverse()) {
        const goal = new Map(layer.map((one) => [one, mean(rightwards ? one.left : one.right, one.at)]));
        layer.sort((one, other) => goal.get(one) - goal.get(other));
        stack(layer);
      }
    }
    // Then each moves towards its neighbours as far as those above and below allow.
    const tallest = Math.max(...layers.map((layer) => layer.reduce((sum, one) => sum + size(one), 0)));
    const below = (layer) => {
      let top = 0;
      for (const one of layer) {
        one.at = Math.max(one.at, top + size(one) / 2);
        top = one.at + size(one) / 2;
      }
    };
    for (let round = 0; round < 24; round += 1) {
      for (const layer of round % 2 === 0 ? layers : [...layers].reverse()) {
        const goals = layer.map((one) => mean([...one.left, ...one.right], one.at));
        layer.forEach((one, index) => (one.at = goals[index]));
        below(layer);
        const lower = layer.reduce((sum, one, index) => sum + one.at - goals[index], 0) / layer.length;
        layer.forEach((one) => (one.at -= lower));
        below(layer);
        let bottom = tallest;
        for (const one of [...layer].reverse()) {
          one.at = Math.min(one.at, bottom - size(one) / 2);
          bottom = one.at - size(one) / 2;
        }
      }
    }
    const highest = Math.min(...layers.flat().map((one) => one.at - size(one) / 2));
    layers.flat().forEach((one) => (one.at -= highest));
    return { cells, links, layers };
  };

  const draw = ({ data, map, canvas, caption }, pairs, everything) => {
    const names = new Set(pairs.flatMap((pair) => [pair.consumer, pair.provider]));
    const alone = data.applications.map((it) => it.name).filter((name) => !names.has(name));
    canvas.replaceChildren();
    map.hidden = names.size === 0;
    caption.textContent = "";
    if (names.size === 0) return;
    const without = `${alone.length} ${alone.length === 1 ? "application has" : "applications have"} no pair`;
    if (alone.length > 0) caption.textContent = everything ? `${without}.` : `${without} of those chosen.`;

    const byEdge = new Map();
    for (const pair of pairs) {
      const key = JSON.stringify([pair.consumer, pair.provider]);
      if (!byEdge.has(key)) byEdge.set(key, { from: pair.consumer, to: pair.provider, pairs: [] });
      byEdge.get(key).pairs.push(pair);
    }
    const edges = [...byEdge.values()];
    const { cells, links, layers } = layered([...names], edges);

    const small = narrow.matches;
    const [width, height, gap, pitch] = small ? [116, 42, 112, 54] : [164, 44, 144, 56];
    const left = (cell) => 4 + cell.layer * (width + gap);
    const middle = (cell) => 6 + cell.at * pitch;
    const size = [8 + layers.length * width + (layers.length - 1) * gap, 12 + Math.max(...layers.flat().map((it) => it.at + (it.name === null ? 0.2 : 0.5))) * pitch];
    const drawing = svg("svg", { width: size[0], height: size[1], viewBox: `0 0 ${size[0]} ${size[1]}`, role: "group", "aria-label": `Applications in ${data.name}: ${names.size}` });

    const plates = [];
    const labels = [];
    const drawn = links.map((link) => ({ link, state: worst(link.edge.pairs) }));
    drawn.sort((one, other) => STATES.indexOf(other.state) - STATES.indexOf(one.state));
    for (const { link, state } of drawn) {
      const edge = svg("g", { class: `edge ${state}${link.edge.pairs.every((it) => it.ignored) ? " pale" : ""}`, "aria-hidden": "true" });
      const steps = [];
      const path = [];
      link.cells.forEach((cell, at) => {
        const [x, y] = [left(cell), middle(cell)];
        if (at > 0) {
          const before = link.cells[at - 1];
          const from = [left(before) + width + (at === 1 && link.back ? 7 : 0), middle(before)];
          const to = [x - (at === link.cells.length - 1 && !link.back ? 7 : 0), y];
          const bend = (to[0] - from[0]) / 2;
          path.push(at === 1 ? `M${from[0]} ${from[1]}` : `L${from[0]} ${from[1]}`, `C${from[0] + bend} ${from[1]} ${to[0] - bend} ${to[1]} ${to[0]} ${to[1]}`);
          steps.push([from, to]);
        }
      });
      edge.append(svg("path", { class: "stroke", d: path.join("") }));
      const [tip, way] = link.back ? [[left(link.cells[0]) + width, middle(link.cells[0])], 1] : [[left(link.cells.at(-1)), middle(link.cells.at(-1))], -1];
      edge.append(svg("path", { class: "tip", d: `M${tip[0]} ${tip[1]}l${way * 8} -4.5v9z` }));
      if (LABELS[state]) {
        const text = LABELS[state];
        const half = text.length * 3.1 + 7;
        const [from, to] = steps[Math.floor((steps.length - 1) / 2)];
        // Where another label is already, it moves along its line.
        const place = (t) => [from[0] + (to[0] - from[0]) * (1.5 * t * (1 - t) + t ** 3), from[1] + (to[1] - from[1]) * (3 * t ** 2 - 2 * t ** 3)];
        const free = ([x, y]) => plates.every((it) => Math.abs(it[0] - x) > half + it[2] || Math.abs(it[1] - y) > 19);
        const spots = [0.5, 0.4, 0.6, 0.3, 0.7].map(place);
        const [x, y] = spots.find(free) ?? spots[0];
        plates.push([x, y, half]);
        const label = svg("g", { class: edge.getAttribute("class"), "aria-hidden": "true" });
        label.append(svg("rect", { class: "plate", x: x - half, y: y - 9, width: 2 * half, height: 18, rx: 9 }), svg("text", { x, y: y + 3.8 }, text));
        label.ends = [link.edge.from, link.edge.to];
        labels.push(label);
      }
      edge.ends = [link.edge.from, link.edge.to];
      drawing.append(edge);
    }
    drawing.append(...labels);
    drawing.classList.toggle("dense", links.length > MANY);

    const live = new Map(data.applications.map((it) => [it.name, it]));
    const ordered = layers.flatMap((layer) => layer.filter((it) => it.name !== null));
    const nodes = ordered.map((cell) => {
      const of = pairs.filter((pair) => pair.consumer === cell.name || pair.provider === cell.name);
      const known = live.get(cell.name);
      const version = (it) => (it.rollingOut ? `→ ${it.version}` : it.version);
      const versions = known ? [...known.versions].sort((one, other) => one.rollingOut - other.rollingOut).map(version).join(" ") : "not there";
      const [x, y] = [left(cell), middle(cell) - height / 2];
      const node = svg("g", {
        class: `node ${worst(of)}${known ? "" : " absent"}`, tabindex: "-1", role: "button",
        "aria-pressed": String(chosen === cell.name), "aria-label": described(cell.name, versions, of),
      });
      const label = html("div", "");
      label.className = "label";
      label.title = `${cell.name}\n${versions}`;
      label.append(html("b", cell.name), " ", html("code", versions));
      node.append(
        svg("rect", { class: "box", x, y, width, height, rx: 7 }),
        svg("path", { class: "bar", d: `M${x + 7} ${y}h-1a6 6 0 0 0 -6 6v${height - 12}a6 6 0 0 0 6 6h1a3 3 0 0 1 -3 -3v-${height - 6}a3 3 0 0 1 3 -3z` }),
        svg("foreignObject", { x: x + 12, y, width: width - 18, height }, label),
      );
      node.place = [x, y];
      node.of = cell.name;
      node.addEventListener("click", () => press(canvas, cell.name));
      node.addEventListener("keydown", (event) => move(event, nodes, node, canvas));
      node.addEventListener("focus", () => light(drawing, cell.name));
      node.addEventListener("blur", () => light(drawing, null));
      node.addEventListener("pointerenter", () => light(drawing, cell.name));
      node.addEventListener("pointerleave", () => light(drawing, null));
      drawing.append(node);
      return node;
    });
    (nodes.find((node) => node.of === chosen) ?? nodes[0]).setAttribute("tabindex", "0");
    canvas.append(drawing);
  };

  const described = (name, versions, pairs) => {
    const parts = STATES.map((state) => {
      const others = pairs.filter((pair) => pair.state === state).map((pair) => (pair.consumer === name ? pair.provider : pair.consumer));
      if (others.length === 0) return null;
      const label = LABELS[state] ?? "verified";
      return others.length > 4 ? `${label} with ${others.length}` : `${label} with ${[...new Set(others)].join(", ")}`;
    });
    return [`${name} ${versions}`, ...parts.filter((part) => part !== null)].join("; ");
  };

  // What has to do with one application.
  const light = (drawing, name) => {
    drawing.classList.toggle("lit", name !== null);
    const near = new Set([name]);
    drawing.querySelectorAll(".edge").forEach((edge) => {
      const lit = name !== null && edge.ends.includes(name);
      edge.classList.toggle("lit", lit);
      if (lit) edge.ends.forEach((end) => near.add(end));
    });
    drawing.querySelectorAll(".node").forEach((node) => node.classList.toggle("lit", near.has(node.of)));
  };

  // A map is drawn anew when an application is chosen: the focus stays with it.
  const press = (canvas, name) => {
    choose(name);
    [...canvas.querySelectorAll(".node")].find((node) => node.of === name)?.focus();
  };
  const move = (event, nodes, node, canvas) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      press(canvas, node.of);
      return;
    }
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    const along = way[0] === 0 ? 1 : 0;
    const distance = (other) => {
      const [ahead, aside] = [(other.place[along] - node.place[along]) * way[along], Math.abs(other.place[1 - along] - node.place[1 - along])];
      return ahead <= 0 ? Infinity : ahead + 3 * aside;
    };
    const next = nodes.reduce((best, other) => (distance(other) < distance(best) ? other : best), node);
    if (next === node) return;
    node.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  };

  for (const box of boxes) {
    const count = all.filter((pair) => pair.state === box.value).length;
    box.parentElement.querySelector(".count").textContent = String(count);
    box.addEventListener("change", show);
  }
  application.addEventListener("input", () => {
    chosen = null;
    show();
  });
  environment.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  narrow.addEventListener("change", show);
  byId("environment-field").hidden = picture.environments.length < 2;
  form.hidden = all.length === 0;
  recall();
  show();
})();
