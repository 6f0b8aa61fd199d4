// What gradio's own parts lack for a screen reader (axe-core says so), put right wherever they appear.
(() => {
  const mend = () => {
    asked = false;
    // A table's sign for a column that cannot be written in has a name and no role that may have one.
    for (const sign of document.querySelectorAll("div.wrapper[aria-label]:not([role])")) sign.setAttribute("role", "img");
  };
  let asked = false;
  new MutationObserver(() => {
    if (!asked) requestAnimationFrame(mend);
    asked = true;
  }).observe(document, { childList: true, subtree: true });
})();
