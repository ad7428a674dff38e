document.querySelector("p").append(` ${VERSION}`);
