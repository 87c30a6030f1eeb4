/*! MuJoCo 3.14.0 for the browser (npm @mujoco/mujoco). Copyright DeepMind Technologies Limited. Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0 */
// The simulator with its WebAssembly inside, so that a page on a disk can start it.
import load from "@mujoco/mujoco";
import packed from "./mujoco.wasm.gz";

window.wmMujoco = async () => {
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return load({ wasmBinary: await new Response(plain).arrayBuffer() });
};
