import { render } from "preact";
import { App } from "./app.js";
import { startTheme } from "./core/theme.js";
import { Workspace } from "./core/workspace.js";
import "./style.css";

startTheme();
const workspace = new Workspace(() => new Worker(new URL("./worker/main.ts", import.meta.url), { type: "module", name: "engine" }));
render(<App workspace={workspace} />, document.getElementById("app")!);
void workspace.start();
