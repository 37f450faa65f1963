"""The study of Sytwu, Groschner and Scott (2022), repeated on public and simulated images.

`sets` reads and splits the images, `networks` names what is compared, `pieces` lists the trainings
in their order, `working` does one of them; `published` measures networks that others trained.
`tables` reads what was found, `effects` gives differences their intervals, `answers` asks the
questions, `drawing` and `page` make figures and the page of them, `advice` the table in the
package.
"""
