// Small conveniences; every page works without them.
(function () {
  document.addEventListener("htmx:configRequest", function (event) {
    event.detail.headers["X-CSRFToken"] = document.querySelector("meta[name=csrf-token]").content;
  });
  // A form with errors comes back as 422 and is shown; error fragments go to the toast area.
  document.addEventListener("htmx:beforeSwap", function (event) {
    var status = event.detail.xhr.status;
    if (status === 422 || event.detail.xhr.getResponseHeader("HX-Retarget")) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });
  // A dialog asks before what cannot be taken back.
  document.addEventListener("click", function (event) {
    var opener = event.target.closest("[data-dialog]");
    if (opener) {
      var dialog = document.getElementById(opener.dataset.dialog);
      if (dialog) { event.preventDefault(); dialog.showModal(); }
    }
    var closer = event.target.closest("[data-close]");
    if (closer) { event.preventDefault(); closer.closest("dialog").close(); }
    var copier = event.target.closest("[data-copy]");
    if (copier) {
      navigator.clipboard.writeText(document.getElementById(copier.dataset.copy).value).then(function () {
        copier.textContent = "Copied";
      });
    }
    var menu = event.target.closest("[data-menu]");
    if (menu) {
      var side = document.querySelector(".pb-side");
      var open = side.classList.toggle("open");
      menu.setAttribute("aria-expanded", open ? "true" : "false");
    }
  });
  // A choice that changes the page at once: filters and zone.
  document.addEventListener("change", function (event) {
    if (event.target.matches("[data-submit]")) { event.target.form.requestSubmit(); }
  });
  // Writing another value chooses it.
  document.addEventListener("input", function (event) {
    var row = event.target.closest("[data-picks]"), radio = row && row.querySelector("input[type=radio]");
    if (radio && radio !== event.target) { radio.checked = true; }
  });
  // Toasts leave by themselves; an error stays until the next answer.
  function leave() {
    document.querySelectorAll("#toasts .toast-x:not(#error)").forEach(function (toast) {
      setTimeout(function () { toast.remove(); }, 6000);
    });
  }
  leave();
  document.addEventListener("htmx:afterSwap", leave);
  // On a phone the tab one is on may lie beyond the edge.
  var tab = document.querySelector(".pb-tabs [aria-current]");
  if (tab) {
    var tabs = tab.closest(".pb-tabs");
    tabs.scrollLeft = tab.getBoundingClientRect().left - tabs.getBoundingClientRect().left - 16;
  }
  // Live parts that no longer come are said so.
  var failing = null;
  ["htmx:sendError", "htmx:responseError", "htmx:timeout"].forEach(function (name) {
    document.addEventListener(name, function () { failing = failing || Date.now(); check(); });
  });
  document.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.successful) { failing = null; var error = document.getElementById("error"); if (error) { error.remove(); } var old = document.getElementById("stale"); if (old) { old.hidden = true; } }
  });
  function check() {
    var note = document.getElementById("stale");
    if (note && failing && Date.now() - failing > 30000) { note.hidden = false; }
  }
  // Times in the words of the viewer's own clock stay exact in the title; the text is renewed each minute.
  setInterval(function () {
    document.querySelectorAll("time[data-ago]").forEach(function (node) {
      var seconds = (Date.now() - Date.parse(node.dateTime)) / 1000, size = Math.abs(seconds), text;
      if (size < 45) { text = seconds < 0 ? "in a moment" : "just now"; }
      else if (size < 3600) { text = Math.max(1, Math.round(size / 60)) + " min"; }
      else if (size < 86400) { text = Math.round(size / 3600) + " h"; }
      else { return; }
      node.textContent = size < 45 ? text : seconds < 0 ? "in " + text : text + " ago";
    });
  }, 30000);
})();
