// Given what the person chose last, is the page light or dark? Runs before
// anything is painted, so that a dark room stays dark.

(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("ekphrasis-theme");
  } catch { /* storage is off: the system decides */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
