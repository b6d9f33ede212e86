// Before the first paint: an account set to "as the device" follows the device.
(function () {
  var root = document.documentElement;
  root.classList.add("js");
  if (root.dataset.theme === "system") {
    var dark = matchMedia("(prefers-color-scheme: dark)");
    var apply = function () { root.setAttribute("data-bs-theme", dark.matches ? "dark" : "light"); };
    apply();
    dark.addEventListener("change", apply);
  }
})();
