
"use strict";
(() => {
  const blend = document.querySelector(".blend");
  if (!blend) { return; }
  const slider = blend.querySelector("input");
  const stage = document.querySelector(".stage");
  const update = () => {
    const shown = document.querySelector(".views > input:checked").value;
    const mixing = shown !== "picture" && slider.value !== "100";
    stage.classList.toggle("blending", mixing);
    for (const figure of stage.children) {
      const top = mixing && figure.classList.contains(shown);
      figure.querySelector("img").style.opacity = top ? slider.value / 100 : 1;
      figure.style.zIndex = top ? 1 : 0;
    }
    slider.disabled = shown === "picture";
  };
  for (const input of document.querySelectorAll(".views > input")) {
    input.addEventListener("change", update);
  }
  slider.addEventListener("input", update);
  blend.hidden = false;
  update();
})();
