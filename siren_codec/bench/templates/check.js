// What goes wrong on this page is written on <html>, where a test reads it.
"use strict";
const root = document.documentElement;
root.classList.add("js");
const errors = [];
const note = (text) => {
  errors.push(text);
  root.dataset.errors = errors.join("\n");
};
root.dataset.errors = "";
window.addEventListener("error", (event) => note(event.message || "resource failed"), true);
window.addEventListener("unhandledrejection", (event) => note(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => note(`policy: ${event.blockedURI}`));
window.addEventListener("load", () => {
  const images = [...document.images];
  root.dataset.images = images.length;
  root.dataset.broken = images.filter((image) => image.naturalWidth === 0).length;
});
