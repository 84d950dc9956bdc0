// Given a picture that was chosen, dropped or pasted, what is sent to search by it?

import { $ } from "./dom.js";

const LIMIT = 20 * 1024 * 1024;
/** Larger ones are made smaller before they are sent: models look at far fewer pixels. */
const SENT_AS_IT_IS = 400 * 1024;
const LONG_SIDE = 1024;

const asDataUrl = (blob) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(blob);
});

/** The file, or a smaller copy of it if the browser can make one. */
async function shrunk(file) {
  if (file.size <= SENT_AS_IT_IS) return file;
  try {
    const image = await createImageBitmap(file);
    const scale = Math.min(1, LONG_SIDE / Math.max(image.width, image.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(image.width * scale));
    canvas.height = Math.max(1, Math.round(image.height * scale));
    const pen = canvas.getContext("2d");
    // Transparency lies on white, as the server lays it.
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    image.close();
    const copy = await new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", 0.92); });
    return copy ?? file;
  } catch {
    return file;
  }
}

/** {name, size, data, address} of a picture's file; throws a sentence if it is none. */
export async function readPicture(file) {
  // Browsers know no type for some formats that the server reads.
  const isOdd = /\.(heic|heif|avif|jxl|tiff?|cr2|cr3|nef|arw|dng|orf|rw2|raf|pef|srw|svgz?|qoi|pnm|ppm|pgm)$/i.test(file.name);
  if (!file.type.startsWith("image/") && !isOdd) throw new Error(`${file.name || "That"} is not a picture.`);
  const sent = await shrunk(file);
  if (sent.size > LIMIT) throw new Error(`${file.name} is too large: 20 MB at most.`);
  let url;
  try {
    url = await asDataUrl(sent);
  } catch {
    throw new Error(`${file.name || "The file"} cannot be read.`);
  }
  return {
    name: file.name || "pasted picture",
    size: file.size,
    data: url.slice(url.indexOf(",") + 1),
    address: URL.createObjectURL(file),
  };
}

/** What becomes of pictures that come in over an element of its own kind: see [takeInto]. */
const takers = new WeakMap();

/** Pictures that are dropped or pasted within `element` go to `take(files)`, and are no search. */
export function takeInto(element, take) {
  element.dataset.takes = "pictures";
  takers.set(element, take);
}

const takerAt = (target) => target?.closest?.("[data-takes]") ?? null;

/** Calls `take(picture)` for every picture that comes in, or `tell(sentence)`. */
export function watchPictures(take, tell) {
  const receive = async (file) => {
    if (!file) return;
    try {
      take(await readPicture(file));
    } catch (error) {
      tell(error.message);
    }
  };

  $("pick").onclick = () => $("file").click();
  $("file").onchange = () => {
    receive($("file").files[0]);
    $("file").value = "";
  };
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter((one) => one.type.startsWith("image/"));
    if (!files.length) return;
    event.preventDefault();
    const taker = takerAt(event.target);
    if (taker) takers.get(taker)(files);
    else receive(files[0]);
  });

  let inside = 0;
  let over = null;
  const mark = (taker) => {
    over?.classList.remove("dropping");
    over = taker;
    over?.classList.add("dropping");
    $("drop").hidden = inside === 0 || over !== null;
  };
  const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    inside += 1;
    mark(takerAt(event.target));
  });
  addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    inside = Math.max(0, inside - 1);
    if (!inside) mark(null);
  });
  addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    const taker = takerAt(event.target);
    inside = 0;
    mark(null);
    if (!carriesFiles(event)) return;
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    if (taker) takers.get(taker)(files);
    else receive(files[0]);
  });
}
