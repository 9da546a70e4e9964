" Syntax of .cai files. Copy docs/editors/vim/* to ~/.vim (or ~/.config/nvim).
if exists("b:current_syntax")
  finish
endif

syn keyword caiDeclaration use model block train optimizer
syn keyword caiStatement if else for in return repeat where assert expect update load from unused phase once each every measure save minimize over with show as
syn keyword caiWeight param state
syn keyword caiWord and or not
syn keyword caiConstant true false none pi inf
syn keyword caiType image f32 f16 bf16 i8 i32 i64 bool
syn match caiNumber "\<\d\+\(\.\d\+\)\?\([eE][-+]\?\d\+\)\?\>"
syn match caiArrow "->"
syn match caiLabel "\<[A-Za-z_][A-Za-z_0-9]*\ze\s*:\s"
syn match caiCall "\<[A-Za-z_][A-Za-z_0-9]*\ze("
syn match caiEscape contained "\\[nt\"\\{}]"
syn region caiHole contained start="{" end="}" contains=caiNumber,caiWord,caiCall
syn region caiString start=+"+ skip=+\\.+ end=+"+ oneline contains=caiEscape,caiHole
syn match caiComment "#.*$" contains=@Spell

hi def link caiDeclaration Keyword
hi def link caiStatement Statement
hi def link caiWeight Special
hi def link caiWord Operator
hi def link caiConstant Constant
hi def link caiType Type
hi def link caiNumber Number
hi def link caiArrow Operator
hi def link caiLabel Label
hi def link caiCall Function
hi def link caiEscape SpecialChar
hi def link caiHole Identifier
hi def link caiString String
hi def link caiComment Comment

let b:current_syntax = "cai"
