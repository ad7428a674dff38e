const list = document.querySelector("ul");
const form = document.querySelector("form");
const change = (thing, method) => fetch(`api/groceries/${encodeURIComponent(thing)}`, { method });

function line(thing) {
  const item = document.createElement("li");
  const bought = document.createElement("button");
  bought.textContent = "bought";
  bought.onclick = () => change(thing, "DELETE");
  item.append(thing, " ", bought);
  return item;
}

new EventSource("api/events").onmessage = ({ data }) => list.replaceChildren(...data.split("\n").filter(Boolean).map(line));

form.onsubmit = (event) => {
  event.preventDefault();
  change(form.elements.thing.value, "PUT");
  form.reset();
};
