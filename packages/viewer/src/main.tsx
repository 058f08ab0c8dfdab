import { render } from "preact";
import { App } from "./app.js";
import { startTheme } from "./core/theme.js";
import { Viewer } from "./core/viewer.js";
import "./style.css";

startTheme();
const viewer = new Viewer(new Worker(new URL("./worker/main.ts", import.meta.url), { type: "module", name: "engine" }));
render(<App viewer={viewer} />, document.getElementById("app")!);
void viewer.start();
