import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";

// A tab that was open across an upgrade asks for files that are gone: load the page anew, once.
addEventListener("vite:preloadError", () => {
  if (sessionStorage.getItem("reloaded") !== "1") {
    sessionStorage.setItem("reloaded", "1");
    location.reload();
  }
});
mount(App, { target: document.getElementById("app")! });
