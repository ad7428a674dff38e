import { render } from "preact";
import { useEffect, useState } from "preact/hooks";

const at = (name) => `api/links/${encodeURIComponent(name)}`;

function Links() {
  const [links, setLinks] = useState({});
  const [problem, setProblem] = useState("");

  const load = () => fetch("api/links").then((answer) => answer.json()).then((all) => setLinks(all.links));
  const change = async (name, options) => {
    const answer = await fetch(at(name), options);
    setProblem(answer.ok ? "" : await answer.text());
    await load();
  };
  const add = (event) => {
    event.preventDefault();
    const { name, address } = event.target.elements;
    return change(name.value, { method: "PUT", body: address.value });
  };
  useEffect(() => void load(), []);

  return (
    <main>
      <h1>links</h1>
      <table>
        {Object.entries(links).sort().map(([name, address]) => (
          <tr key={name}>
            <td><a href={name}>{name}</a></td>
            <td>{address}</td>
            <td><button onClick={() => change(name, { method: "DELETE" })}>remove</button></td>
          </tr>
        ))}
      </table>
      <form onSubmit={add}>
        <input name="name" placeholder="name" required /> <input name="address" type="url" placeholder="https://" required />{" "}
        <button>add</button> {problem}
      </form>
      <footer>links {VERSION}</footer>
    </main>
  );
}

render(<Links />, document.body);
