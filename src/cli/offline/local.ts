// Joins the verbs that need no daemon to the parts that they need.

import { tryCapabilities } from "../../composition/capabilities.ts";
import { dataDirectory } from "../find-daemon.ts";
import type { CliIo } from "../io.ts";
import type { CliLocal } from "../local.ts";
import { configInit, configShow, configValidate } from "./config.ts";
import { demo } from "./demo.ts";
import { exportCheckpoint } from "./export.ts";
import { importFiles } from "./import.ts";
import { inspectHost } from "./inspect-host.ts";
import { showLive } from "./live-screen.ts";
import { replay } from "./replay.ts";
import { runCommand } from "./run.ts";
import { serve } from "./serve.ts";

export function createLocal(io: CliIo): CliLocal {
  return {
    serve: (argv) => serve(argv, io),
    replay: (file) => replay(file, io),
    importFile: importFiles,
    demo,
    run: runCommand,
    inspectHost: (data) => inspectHost(data, io),
    tryCapabilities: (data) => tryCapabilities(dataDirectory(io, data)),
    showLive: (frame) => showLive(frame, io),
    exportCheckpoint,
    configShow,
    configValidate,
    configInit,
  };
}
