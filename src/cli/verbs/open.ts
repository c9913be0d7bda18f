// `observer open`: a one-time URL that signs a browser in.

import { ObserverError } from "../../core/errors.ts";
import { CLIENT_FLAGS, JSON_FLAG } from "../flags.ts";
import { printJson } from "../output.ts";
import { line } from "../show.ts";
import type { Verb } from "../verb.ts";

export const openVerb: Verb = {
  name: "open",
  group: "Look",
  summary: "one-time URL that signs a browser in to the dashboard",
  flags: [JSON_FLAG, ...CLIENT_FLAGS],
  examples: ["observer open", `xdg-open "$(observer open)"`],
  async run(call) {
    const code = await call.client().post("/session-codes");
    if (call.flags.on("json")) return printJson(call, code);
    const url = line(code, "url");
    if (url === "") throw new ObserverError("failed", "The daemon gave no URL");
    call.io.stdout(`${url}\n`);
    call.io.stderr("works once, for a short time; open it in a browser on this machine\n");
    return 0;
  },
};
