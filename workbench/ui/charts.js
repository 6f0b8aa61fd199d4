// Three buttons below every chart: PNG and SVG as plotly draws them, csv with the points that are drawn.
//
// gradio keeps plotly to itself, so the picture is asked for by plotly's own camera button, told first which format it shall write.
(() => {
  const words = JSON.parse(document.documentElement.dataset.charts);

  const picture = (plot, format) => {
    const camera = plot.querySelector('.modebar-btn[data-title^="Download plot"]');
    const before = plot._context.toImageButtonOptions;
    plot._context.toImageButtonOptions = { ...before, format, filename: name(plot), scale: format === "png" ? 2 : 1 };
    camera?.click();
    plot._context.toImageButtonOptions = before;
  };

  const table = (plot) => {
    const axis = (key) => plot._fullLayout[key]?.title?.text || key[0];
    const rows = [];
    for (const line of plot._fullData) {
      if (line.type === "parcoords") {
        rows.push(line.dimensions.map((one) => one.label));
        const said = (one, value) => one.ticktext?.[one.tickvals?.indexOf(value)] ?? value;
        line.dimensions[0]?.values.forEach((_, at) => rows.push(line.dimensions.map((one) => said(one, one.values[at]))));
        continue;
      }
      if (line.hoverinfo === "skip" || !line.x) continue;  // a band behind a line
      if (!rows.length) rows.push(["series", axis("xaxis"), axis("yaxis"), "low", "high", "range"]);
      const { array, arrayminus } = line.error_x ?? {};
      line.x.forEach((x, at) => {
        const ends = array ? [x - arrayminus[at], x + array[at]] : ["", ""];
        rows.push([line.name ?? "", x, line.y[at], ...ends, line.customdata?.[at] ?? ""]);
      });
    }
    const used = (rows[0] ?? []).map((_, place) => rows.slice(1).some((row) => row[place] !== ""));
    return rows.map((row) => row.filter((_, place) => used[place]));
  };

  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);

  const save = (plot) => {
    const text = "\ufeff" + table(plot).map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${name(plot)}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  };

  const name = (plot) => plot.closest(".block[id]")?.id ?? "chart";

  const button = (text, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", `${words.save}: ${text}`);
    made.addEventListener("click", act);
    return made;
  };

  const attend = () => {
    asked = false;
    for (const bar of document.querySelectorAll(".pw-export")) if (!bar.parentElement.querySelector(".js-plotly-plot")) bar.remove();
    for (const plot of document.querySelectorAll(".block .js-plotly-plot")) {
      if (plot.parentElement.querySelector(":scope > .pw-export")) continue;
      // By the parent: the plot itself may be another one by the time of the click.
      const home = plot.parentElement;
      const now = () => home.querySelector(".js-plotly-plot");
      const bar = document.createElement("div");
      bar.className = "pw-export";
      bar.setAttribute("role", "group");
      bar.setAttribute("aria-label", words.save);
      bar.append(button("PNG", () => picture(now(), "png")), button("SVG", () => picture(now(), "svg")), button(words.csv, () => save(now())));
      home.append(bar);
    }
  };

  let asked = false;
  new MutationObserver(() => {
    if (!asked) requestAnimationFrame(attend);
    asked = true;
  }).observe(document, { childList: true, subtree: true });
})();
