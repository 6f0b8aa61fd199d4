// Three buttons below every chart: PNG and SVG as plotly draws them, csv with the points that are drawn; csv below tables that ask for it.
//
// gradio keeps plotly to itself, so the picture is asked for by plotly's own camera button, told first which format it shall write.
(() => {
  const words = JSON.parse(document.documentElement.dataset.charts);

  const picture = (plot, format) => {
    const camera = plot.querySelector(`.modebar-btn:is([data-title^="Download plot"], [data-title="${words.camera}"])`);
    const before = plot._context.toImageButtonOptions;
    plot._context.toImageButtonOptions = { ...before, format, filename: name(plot), scale: format === "png" ? 2 : 1 };
    camera?.click();
    plot._context.toImageButtonOptions = before;
  };

  // Names are written for plotly's small HTML, as charts.py says; a file has them as they are.
  const bare = (name) => (typeof name === "string" ? name.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&") : name);

  const points = (plot) => {
    const named = plot._fullLayout.meta ?? {};  // what an axis without a title is called, as charts.py says
    const axis = (key) => plot._fullLayout[key]?.title?.text || named[key[0]] || key[0];
    const alone = plot._fullData.every((line) => (line.yaxis ?? "y") === "y");  // else each line has a unit of its own
    const rows = [];
    for (const line of plot._fullData) {
      if (line.type === "parcoords") {
        rows.push(line.dimensions.map((one) => one.label));
        const said = (one, value) => one.ticktext?.[one.tickvals?.indexOf(value)] ?? value;
        line.dimensions[0]?.values.forEach((_, at) => rows.push(line.dimensions.map((one) => said(one, one.values[at]))));
        continue;
      }
      if (line.hoverinfo === "skip" || !line.x) continue;  // a band behind a line
      if (!rows.length) rows.push(["series", axis("xaxis"), alone ? axis("yaxis") : "y", "low", "high", named.customdata || "range"]);
      const { array, arrayminus } = line.error_x ?? {};
      line.x.forEach((x, at) => {
        const ends = array ? [x - arrayminus[at], x + array[at]] : ["", ""];
        rows.push([bare(line.name ?? ""), bare(x), bare(line.y[at]), ...ends, line.customdata?.[at] ?? ""]);
      });
    }
    const used = (rows[0] ?? []).map((_, place) => rows.slice(1).some((row) => row[place] !== ""));
    return rows.map((row) => row.filter((_, place) => used[place]));
  };

  const cells = (table) => {
    const rows = [...table.rows].map((row) => [...row.cells].map((cell) => cell.title || cell.textContent.trim()));
    if (table.caption) rows[0][0] += ` ${table.caption.textContent}`;
    return rows;
  };

  const lines = (bars) => [...bars.children].map((bar) => [bar.children[0].title, bar.children[2].textContent]);

  // What a spreadsheet would take for a formula gets an apostrophe, as in runs/files.py; numbers of a chart are no text.
  const inert = (value) => (typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? ""));

  const quoted = (value) => (/[",\r\n]/.test(inert(value)) ? `"${inert(value).replaceAll('"', '""')}"` : inert(value));

  const save = (rows, name) => {
    const text = "\ufeff" + rows.map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${name}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  };

  const name = (plot) => plot.closest(".block[id]")?.id ?? "chart";

  const bar = (label, ...acts) => {
    const made = document.createElement("div");
    made.className = "pw-export";
    made.setAttribute("role", "group");
    made.setAttribute("aria-label", label);
    for (const [text, act] of acts) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.setAttribute("aria-label", `${label}: ${text}`);
      button.addEventListener("click", act);
      made.append(button);
    }
    return made;
  };

  const attend = () => {
    asked = false;
    for (const old of document.querySelectorAll(".pw-export")) if (!old.parentElement.querySelector(".js-plotly-plot, table, .pw-bars")) old.remove();
    for (const plot of document.querySelectorAll(".block .js-plotly-plot")) {
      if (plot.parentElement.querySelector(":scope > .pw-export")) continue;
      // By the parent: the plot itself may be another one by the time of the click.
      const home = plot.parentElement;
      const now = () => home.querySelector(".js-plotly-plot");
      const csv = () => save(points(now()), name(now()));
      home.append(bar(words.save, ["PNG", () => picture(now(), "png")], ["SVG", () => picture(now(), "svg")], [words.csv, csv]));
    }
    for (const home of document.querySelectorAll("[data-csv]:not(:has(> .pw-export))")) {
      const shown = () => (home.querySelector("table") ? cells(home.querySelector("table")) : lines(home.querySelector(".pw-bars")));
      home.append(bar(words.save_table, [words.csv, () => save(shown(), home.dataset.csv)]));
    }
  };

  let asked = false;
  new MutationObserver(() => {
    if (!asked) requestAnimationFrame(attend);
    asked = true;
  }).observe(document, { childList: true, subtree: true });
})();
