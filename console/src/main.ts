import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";

// A tab that was open across an upgrade asks for files that are gone: load the page anew, once for each upgrade.
const AGAIN_MS = 60_000;
addEventListener("vite:preloadError", () => {
  if (Date.now() - Number(sessionStorage.getItem("reloaded")) < AGAIN_MS) return;
  sessionStorage.setItem("reloaded", String(Date.now()));
  location.reload();
});
mount(App, { target: document.getElementById("app")! });
