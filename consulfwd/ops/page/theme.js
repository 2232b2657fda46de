// Which colours the visitor chose, before anything is painted. Not a module: those come later.
"use strict";
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden: then it is as the system has it.
}
