// The files of a drop, those inside dropped folders included.

const PICTURE = /\.(jpe?g?|jfif|png|webp|tiff?|bmp|gif|hei[cf]|avif|jp2|j2k|p[pgbn]m)$/i;

// The items are asked before the first wait: they are gone when the event is over.
export async function filesOf(transfer) {
  const items = [...(transfer?.items ?? [])].filter(({ kind }) => kind === "file")
    .map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const found = await Promise.all(items.map(({ entry, file }) => (entry?.isDirectory
    ? picturesIn(entry) : [file])));
  return found.flat().filter(Boolean);
}

const ask = (object, method) => new Promise((resolve, reject) => { object[method](resolve, reject); });

async function picturesIn(folder) {
  const reader = folder.createReader();
  const found = [];
  try {
    // A reader gives about a hundred entries at a time, and none at the end.
    for (let part = await ask(reader, "readEntries"); part.length > 0;
      part = await ask(reader, "readEntries")) {
      for (const entry of part) {
        if (entry.isDirectory) {
          found.push(...await picturesIn(entry));
        } else if (PICTURE.test(entry.name)) {
          found.push(await ask(entry, "file"));
        }
      }
    }
  } catch { /* not allowed to look into it: what was found before has to do */ }
  return found;
}
