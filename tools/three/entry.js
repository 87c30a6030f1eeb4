// What the viewer uses of three.js.
export {
  BoxGeometry, CapsuleGeometry, Color, CylinderGeometry, DirectionalLight, HemisphereLight, Mesh, MeshLambertMaterial,
  PerspectiveCamera, Quaternion, Scene, SphereGeometry, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
